from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.export import export_from_bus
from streamer.messages import Observation
from tests.synthetic_run import make_run

SETTINGS = TopicSettings(partitions=8)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = open_bus(f"sqlite:///{tmp_path}/affect.db")
    bus.ensure_topics(topics(SETTINGS).all())
    yield bus
    bus.close()


def send(bus: Bus, records: list[Outgoing]) -> None:
    producer = bus.producer(transactional_id="t")
    producer.commit(records)
    producer.close()


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_live_and_archive_are_read_together_or_apart(bus: Bus, tmp_path: Path) -> None:
    live, archived = make_run(("cam", "door"), "live", 40), make_run(("film", "tape"), "job", 60)
    send(bus, [outgoing(o, SETTINGS, "live") for o in live.observations])
    send(bus, [outgoing(o, SETTINGS, "archive") for o in archived.observations])
    out = tmp_path / "out.jsonl"
    n_live, n_archived = len(live.observations), len(archived.observations)
    assert export_from_bus(bus, "jsonl", out).rows == n_live + n_archived
    assert [row["stream"] for row in rows(out)] == sorted(
        o.stream for o in (*live.observations, *archived.observations)
    )
    assert export_from_bus(bus, "jsonl", out, homes=("archive",)).rows == n_archived
    assert export_from_bus(bus, "jsonl", out, runs={"live"}).rows == n_live
    assert export_from_bus(bus, "jsonl", out, streams={"door", "tape"}, runs={"job"}).rows > 0
    assert {(row["run"], row["stream"]) for row in rows(out)} == {("job", "tape")}
    assert export_from_bus(bus, "jsonl", out, streams={"nobody"}).rows == 0


def test_windows_and_tracks_come_out_too(bus: Bus, tmp_path: Path) -> None:
    run = make_run(n_frames=60)
    send(bus, [outgoing(r, SETTINGS, "archive") for r in run.windows])
    send(bus, [outgoing(r, SETTINGS, "archive") for r in run.tracks])
    assert export_from_bus(bus, "csv", tmp_path / "w.csv", kind="windows").rows == len(run.windows)
    assert export_from_bus(bus, "csv", tmp_path / "t.csv", kind="tracks").rows == len(run.tracks)


def test_retries_foreign_bytes_and_a_deposed_owner_are_left_out_and_counted(bus: Bus, tmp_path: Path) -> None:
    def at(o: Observation, epoch: int, capture_time_s: float, name: str) -> Observation:
        return msgspec.structs.replace(
            o, epoch=epoch, epoch_time_s=1000.0 + epoch, capture_time_s=capture_time_s, id=name, stream="cam"
        )

    one = make_run(n_frames=2).observations[0]
    records = [
        at(one, 1, 1001.5, "first owner"),
        at(one, 1, 1001.5, "first owner"),
        at(one, 9, 1009.5, "new owner"),
        at(one, 1, 1008.0, "late from the spool"),
        at(one, 1, 1010.0, "written by one who lost the stream"),
    ]
    sent = [outgoing(record, SETTINGS) for record in records]
    broken = Outgoing(sent[0].topic, sent[0].partition, sent[0].key, b"\xc1", sent[0].headers)
    send(bus, [*sent, broken])
    done = export_from_bus(bus, "jsonl", tmp_path / "out.jsonl")
    assert [row["id"] for row in rows(tmp_path / "out.jsonl")] == ["first owner", "new owner", "late from the spool"]
    assert done.skipped == {"duplicate": 1, "stale_epoch": 1, "undecodable": 1}
