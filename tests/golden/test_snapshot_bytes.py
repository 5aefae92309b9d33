"""The bytes of every snapshot version: all must be read, and the newest is written as ever.

`snapshot_vN.json` holds the values by key in hexadecimal, and what the resumed stream said next (without the fields
that records may gain). What zlib makes of a body may change with its version, so what is written is compared unpacked.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.config import StateSettings
from streamer.messages import Observation, Record, TrackEvent, Window
from streamer.state.actor import StreamActor
from streamer.state.codec import VERSION, peek
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput
from streamer.state.records import StreamContext
from streamer.state.snapshot import restore, take
from streamer.types import Counters, Embedding, FaceObservation, FrameFaces, Mode, TrackedFace

VERSIONS = tuple(range(1, VERSION + 1))
NEEDS = HeadNeeds("min_max_mean", True, 3, 2, 2)
SETTINGS = StateSettings(window=4)
POSITION = {"next_index": 6, "media_time_s": 0.2, "dropped": {"late": 1}}


def context(mode: Mode) -> StreamContext:
    epoch = 0 if mode == "archive" else 1234
    return StreamContext("hall/cam 1", "r-0", "s-0", "net@1#01234567", "fp32", mode, epoch)


def frame(index: int) -> FrameFaces:
    """Two faces in quarters and eighths, whose arithmetic is exact on any machine."""
    faces = []
    for track in (0, 3) if index > 1 else (0,):
        probs = np.zeros(7, np.float32)
        probs[(index + track) % 7], probs[(2 * index) % 7] = 0.75, 0.25
        features = np.array([index - 2.5, track + index / 8], np.float32)
        box = np.array([32 * track, 36, 32 * track + 64, 72], np.float32)
        faces.append(
            FaceObservation(
                TrackedFace(track, box, np.zeros((5, 2), np.float32), 0.5, 36.0), Embedding(features, probs)
            )
        )
    return FrameFaces(0, index, index, index / 32, None, "container", (640, 360), tuple(faces), ())


def head(batch: HeadBatch) -> HeadOutput:
    assert batch.stat is not None
    assert batch.h is not None
    assert batch.c is not None
    probs = (batch.probs + batch.stat[:, 20:27]) / np.float32(2)
    return HeadOutput(probs, None, None, batch.h + batch.stat[:, :2], batch.c - np.float32(0.5))


def run(actor: StreamActor, first: int, stop: int) -> list[Record]:
    records: list[Record] = []
    for index in range(first, stop):
        pending = actor.observe(frame(index))
        records += actor.resolve(pending, head(pending.inputs))
    return records


def said(records: list[Record]) -> list[Any]:
    lines: list[Any] = []
    for record in records:
        if isinstance(record, Observation):
            lines.append(["observation", record.id, record.seq, record.state, record.state_age_s, *record.probs])
        elif isinstance(record, Window):
            lines.append(["window", record.id, record.seq, record.n_observations, *record.probs.mean])
        elif isinstance(record, TrackEvent):
            summary = [] if record.summary is None else [record.summary.n_observations, *record.summary.shares]
            lines.append([record.event, record.id, record.seq, *summary])
    return lines


def produce(mode: Mode) -> dict[str, Any]:
    actor = StreamActor(context(mode), SETTINGS, NEEDS, Counters())
    run(actor, 0, 6)
    puts = take(actor, POSITION, {"boxes": np.ones((2, 4), np.float32), "next": 4}).puts
    after = [*run(actor, 6, 9), *actor.finish("end_of_stream")]
    return {
        "values": {key.hex(): value.hex() for key, value in puts.items()},
        "said_after": said(after),
    }


def golden(version: int, mode: Mode) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(Path(__file__).with_name(f"snapshot_v{version}.json").read_text())[mode]
    return stored


def unpacked(values: dict[str, str]) -> dict[str, Any]:
    """Everything of the values but how well the bodies were compressed."""
    found = {}
    for key, value in values.items():
        header = peek(bytes.fromhex(value))
        body = zlib.decompress(header.body) if header.inflated else header.body
        found[key] = (header.v, header.kind, header.stream, header.epoch, header.seq, header.parts, body)
    return found


@pytest.mark.parametrize("mode", ["archive", "live"])
def test_the_newest_version_is_written_as_ever(mode: Mode) -> None:
    made, stored = produce(mode), golden(VERSION, mode)
    assert made["said_after"] == stored["said_after"]
    assert unpacked(made["values"]) == unpacked(stored["values"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["archive", "live"])
def test_every_version_is_read_as_ever(mode: Mode, version: int) -> None:
    stored = golden(version, mode)
    values = {bytes.fromhex(key): bytes.fromhex(value) for key, value in stored["values"].items()}
    assert {peek(value).v for value in values.values()} == {version}
    restored = restore(context(mode), SETTINGS, NEEDS, Counters(), values)
    assert restored.position == POSITION
    assert restored.tracker["next"] == 4
    after = [*run(restored.actor, 6, 9), *restored.actor.finish("end_of_stream")]
    assert said(after) == stored["said_after"]


def test_compression_is_seen_in_the_golden_bytes() -> None:
    inflated = [peek(bytes.fromhex(value)).inflated > 0 for value in golden(2, "live")["values"].values()]
    assert any(inflated)
