"""How long a new owner takes to have every track again, and what snapshots cost until then.

Tracks of many streams are written over and over as their owners would, first the versions that lie too far back to
matter, then those of the grace time. Then another process' worth of lanes claims all streams and takes them up, with a
connection of its own; the time counts from the claims to the last stream's state. Every track must be there.
"""

from __future__ import annotations

import math
import queue
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from streamer.bench.made_up import MadeUpFaces
from streamer.bench.record import header
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import topics
from streamer.clock import SystemClock
from streamer.config import Config, StateSettings, TrackSettings
from streamer.errors import StreamerError
from streamer.faces.track import Tracker
from streamer.pipeline import Models, StreamState
from streamer.source import Source
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadNeeds
from streamer.state.records import StreamContext
from streamer.state.snapshot import restore, take
from streamer.types import Counters, Mode
from streamer.worker.checkpoints import Checkpoints, Resumption
from streamer.worker.claims import claim
from streamer.worker.lane import Lane
from streamer.worker.link import Open
from streamer.worker.state_reader import SHARED_S, StateReader

LIVE_TRACKS = 200
"""So many faces one worker watches at once, when its rate of bytes is stated."""
SHAPES: Mapping[str, HeadNeeds] = {
    "D 256, s 32": HeadNeeds("min_max_mean", False, 32, 256, 256),
    "D 2048, s 32": HeadNeeds("min_max_mean", False, 32, 2048, 256),
    "D 2048, s 128": HeadNeeds("min_max_mean", False, 128, 2048, 256),
}
_FLUSH_S = 120.0


def run(
    config: Config,
    models: Models,
    *,
    n_streams: int = 100,
    n_tracks: int = 1000,
    n_older: int = 100,
    repeats: int = 3,
    shapes: Mapping[str, HeadNeeds] = SHAPES,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measured on the bus of `config`, under a prefix of its own; the topics stay.

    `n_older` versions of everything lie before those that are read. Snapshots are weighed for the models' head and for
    `shapes`. Raises `BusError`, and `StreamerError` when a track was not restored.
    """
    prefix = f"{config.topics.prefix}-bench-{uuid.uuid4().hex[:8]}"
    config = msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, prefix=prefix))
    bus = open_bus(config.bus, settings=config.topics)
    try:
        bus.ensure_topics([topics(config.topics).state])
        written = _write(bus, config, models, n_streams, n_tracks, n_older, tell)
    finally:
        bus.close()
    rounds = []
    for number in range(repeats):
        tell(f"round {number + 1} of {repeats}: restore")
        rounds.append(_restore(config, models, n_streams, n_tracks))
    return {
        **header("restore"),
        "model": models.model_id,
        "bus": config.bus.partition("://")[0],
        "streams": n_streams,
        "tracks": n_tracks,
        "partitions": config.topics.partitions,
        "written": written,
        "median": {name: statistics.median(one[name] for one in rounds) for name in rounds[0]},
        "rounds": rounds,
        "snapshots": costs({"this head": models.head.needs, **shapes}, config.checkpoint.live_interval_s),
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    median, written = result["median"], result["written"]
    costs = [
        f"  {one['shape']:14} {one['live_bytes'] / 1024:6.1f} KiB a track live,"
        f" {one['archive_bytes'] / 1024:6.1f} archive"
        f"   take {one['take_ms']:.2f} ms, restore {one['restore_ms']:.2f} ms"
        f"   {LIVE_TRACKS} tracks: {one['bytes_per_s'] / 1e6:.2f} MB/s"
        for one in result["snapshots"]
    ]
    return "\n".join(
        (
            f"{result['tracks']} tracks of {result['streams']} streams, {result['model']}, {result['machine']['cpu']}",
            f"  changelog    {written['values']} values, {written['bytes'] / 1e6:.1f} MB",
            f"  restored in  {median['total_s']:.2f} s (last value read after {median['read_s']:.2f} s)",
            *costs,
        )
    )


def costs(shapes: Mapping[str, HeadNeeds], interval_s: float, n_faces: int = 8) -> list[dict[str, Any]]:
    """Bytes and milliseconds of one track's snapshot for each kind of head, and the rate of LIVE_TRACKS of them."""
    found = []
    for name, needs in shapes.items():
        live, take_ms, restore_ms = _cost(needs, "live", n_faces)
        archive, _, _ = _cost(needs, "archive", n_faces)
        found.append(
            {
                "shape": name,
                "live_bytes": live,
                "archive_bytes": archive,
                "take_ms": take_ms,
                "restore_ms": restore_ms,
                "bytes_per_s": LIVE_TRACKS * live / interval_s,
            }
        )
    return found


def _cost(needs: HeadNeeds, mode: Mode, n_faces: int) -> tuple[float, float, float]:
    settings = StateSettings()
    context = StreamContext("bench", "run", "session", "model", "fp32", mode, 1)
    state = StreamState(Tracker(TrackSettings()), StreamActor(context, settings, needs, Counters()))
    faces = MadeUpFaces(n_faces, needs.n_features, needs.hidden)
    for _ in range(needs.window or settings.window):
        faces.step(state)
    take_s, restore_s, values = math.inf, math.inf, dict[bytes, bytes]()
    for _ in range(5):
        began_s = time.perf_counter()
        values = take(state.actor, {}, None, full=True).puts
        took_s = time.perf_counter()
        restore(replace(context, epoch=2), settings, needs, Counters(), values)
        take_s, restore_s = min(take_s, took_s - began_s), min(restore_s, time.perf_counter() - took_s)
    n_bytes = sum(len(key) + len(value) for key, value in values.items() if b"/" in key)
    return n_bytes / n_faces, 1000 * take_s / n_faces, 1000 * restore_s / n_faces


def _write(
    bus: Bus, config: Config, models: Models, n_streams: int, n_tracks: int, n_older: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Every stream's changelog, the newest versions at the pace of the broker."""
    settings = config.checkpoint
    checkpoints = Checkpoints(config, models, SystemClock())
    lanes = _claimed(bus, config, n_streams)
    needs = models.head.needs
    watched = []
    for k, lane in enumerate(lanes):
        checkpoints.resume(lane, {})
        n_faces = n_tracks // n_streams + (k < n_tracks % n_streams)
        watched.append((lane, MadeUpFaces(n_faces, needs.n_features, needs.hidden, k)))
        for _ in range(needs.window or config.state.window):
            watched[-1][1].step(lane.open_state)
    reach_s = settings.grace_s + 2 * settings.live_interval_s + SHARED_S
    n_recent = math.ceil(reach_s / settings.live_interval_s)
    values = n_bytes = 0
    producer = bus.producer()
    try:
        for version in range(n_older + n_recent):
            if version == n_older and n_older:
                tell(f"waiting {reach_s:.0f} s, so that older versions lie further back than anybody looks")
                producer.flush(_FLUSH_S)
                time.sleep(reach_s)
            if version % 20 == 0:
                tell(f"version {version} of {n_older + n_recent}")
            for lane, faces in watched:
                faces.step(lane.open_state)
                records: Sequence[Outgoing] = checkpoints.take(lane)
                producer.send(records)
                values += len(records)
                n_bytes += sum(len(record.key) + len(record.value or b"") for record in records)
        producer.flush(_FLUSH_S)
    finally:
        producer.close()
    return {"values": values, "bytes": n_bytes, "older_versions": n_older, "recent_versions": n_recent}


def _restore(config: Config, models: Models, n_streams: int, n_tracks: int) -> dict[str, float]:
    """All streams taken up by an owner with a fresh connection, its lanes opening together as a child's would."""
    bus = open_bus(config.bus, settings=config.topics)
    try:
        lanes = _claimed(bus, config, n_streams)
        began_s = time.perf_counter()
        reader, checkpoints = StateReader(bus, config, SystemClock()), Checkpoints(config, models, SystemClock())
        arrived: queue.SimpleQueue[tuple[Lane, dict[bytes, bytes]]] = queue.SimpleQueue()
        for lane in lanes:
            fetch = threading.Thread(target=lambda lane=lane: arrived.put((lane, reader.fetch(lane))), daemon=True)
            fetch.start()
        read_s, resumed = 0.0, list[Resumption]()
        for _ in lanes:
            lane, values = arrived.get()
            read_s = time.perf_counter() - began_s
            resumed.append(checkpoints.resume(lane, values))
        total_s = time.perf_counter() - began_s
    finally:
        bus.close()
    n = sum(len(lane.open_state.actor.tracks) for lane in lanes)
    if n != n_tracks or any(one.cold_reason or one.media_time_s is None for one in resumed):
        raise StreamerError(f"{n} of {n_tracks} tracks were restored: {[one.cold_reason for one in resumed][:3]}")
    return {"total_s": total_s, "read_s": read_s}


def _claimed(bus: Bus, config: Config, n_streams: int) -> list[Lane]:
    streams = [f"camera-{k}" for k in range(n_streams)]
    lanes = []
    for stream, placed in zip(streams, claim(bus, streams, "bench", config.topics), strict=True):
        order = Open.of(Source(stream, "/dev/null", "webcam", "live"), 0)
        order = msgspec.structs.replace(order, epoch=placed.offset, epoch_time_s=placed.time_s)
        lanes.append(Lane.of(order, config, SystemClock()))
    return lanes
