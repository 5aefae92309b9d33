"""Live streams through `streamer run`, measured from outside: CPU time of its processes, what the bus says, memory.

The streams are one file shown at its own rate under many names; all of it in real processes on an embedded bus.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import msgspec
import psutil

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming
from streamer.bus.read import drain
from streamer.bus.topics import content_type, topics
from streamer.config import Config
from streamer.errors import NotAVideo, StreamerError
from streamer.messages import Observation, RunRecord, Status, decode

STARTS_WITHIN_S = 60.0
SETTLE_S = 2.0
"""Between the last stream's first frame and the window in which is measured."""
ENDS_WITHIN_S = 30.0
MOST_PICTURES = 120
"""Of a long clip only the beginning is shown: its pictures are held in memory while they are encoded."""
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Tally:
    """What all streams together have counted at one moment."""

    decoded: float
    analysed: float
    faces: float
    dropped: float


@dataclass(frozen=True, slots=True)
class LiveRun:
    """Rates are per second of the window. `latencies_s` are from a frame's arrival to the bus's time of its record,
    which lies inside the commit. `others_cores` is what other programs of the machine took meanwhile: too much of it,
    and nothing here says what this software can do. `bytes_by_topic` are (records, bytes of keys, values and headers)
    of the whole run, a stream's own snapshots and its tracks' apart.
    """

    n_streams: int
    window_s: float
    cpu_s_per_s: float
    supervisor_cpu_s_per_s: float
    others_cores: float
    decoded_fps: float
    analysed_fps: float
    faces_per_frame: float
    dropped_per_s: float
    latencies_s: tuple[float, ...]
    memory_bytes: float
    supervisor_memory_bytes: float
    bytes_by_topic: dict[str, tuple[int, int]]
    run: RunRecord


def shown_at(clip: Path, target: Path, *, width: int, height: int, rate: int) -> Path:
    """`clip` forth and back as a camera would send it: that size, that rate, H.264 without B-frames where it can be.

    Raises `NotAVideo` where it has no pictures.
    """
    with av.open(str(clip)) as source:
        pictures = [
            frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
            for frame in islice(source.decode(video=0), MOST_PICTURES)
        ]
    if not pictures:
        raise NotAVideo(f"{clip} has no pictures: choose another clip")
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(target), "w") as out:
        options = {"preset": "veryfast", "bf": "0", "g": str(2 * rate)} if codec == "libx264" else {"b": "2000000"}
        stream = out.add_stream(codec, rate=Fraction(rate), options=options)
        assert isinstance(stream, av.VideoStream), f"{codec} encodes video"
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures + pictures[-2:0:-1]:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return target


def run_live(video: Path, config: Config, n_streams: int, *, folder: Path, measure_s: float) -> LiveRun:
    """`n_streams` showings of `video`, which must last `STARTS_WITHIN_S` longer than `measure_s`.

    Everything of it lies in `folder`, which must be fresh. Raises `StreamerError` where it cannot be measured.
    """
    names = [f"camera-{number}" for number in range(n_streams)]
    database = folder / "live.db"
    chosen = msgspec.structs.replace(config, bus=f"sqlite:///{database}", sources=(), mode="live")
    settings = folder / "live.yaml"  # JSON is YAML
    settings.write_bytes(msgspec.json.encode(chosen))
    log = folder / "live.log"
    sources = [f"{name}={video}" for name in names]
    command = [sys.executable, "-m", "streamer", "run", *sources, "--config", str(settings), "--offline", "--json"]
    with _started(command, log) as process:
        _wait_for_all(database, names, process, log, config)
        time.sleep(SETTLE_S)
        watched = _Watched(process.pid)
        began_s, cpu_before, all_before = time.time(), watched.cpu_s(), _busy_s()
        time.sleep(measure_s)
        ended_s, cpu_after, all_after = time.time(), watched.cpu_s(), _busy_s()
        if process.poll() is not None:
            raise StreamerError(f"the streams ended while they were measured:\n{_end_of(log)}")
        supervisor_bytes, children_bytes = watched.memory_bytes()
        time.sleep(1.5)  # one more heartbeat, to count up to the end of the window
    window_s = ended_s - began_s
    bus = open_bus(f"sqlite:///{database}", create=False)
    try:
        found = _read(bus, config, began_s, ended_s)
    finally:
        bus.close()
    first, last = found.tally(began_s), found.tally(ended_s)
    analysed = last.analysed - first.analysed
    if found.run is None or analysed <= 0:
        raise StreamerError(f"the streams gave nothing to measure:\n{_end_of(log)}")
    cpu_s_per_s = (sum(cpu_after) - sum(cpu_before)) / window_s
    return LiveRun(
        n_streams=n_streams,
        window_s=window_s,
        cpu_s_per_s=cpu_s_per_s,
        supervisor_cpu_s_per_s=(cpu_after[0] - cpu_before[0]) / window_s,
        others_cores=max(0.0, (all_after - all_before) / window_s - cpu_s_per_s),
        decoded_fps=(last.decoded - first.decoded) / window_s,
        analysed_fps=analysed / window_s,
        faces_per_frame=(last.faces - first.faces) / analysed,
        dropped_per_s=(last.dropped - first.dropped) / window_s,
        latencies_s=tuple(found.latencies_s),
        memory_bytes=supervisor_bytes + children_bytes,
        supervisor_memory_bytes=supervisor_bytes,
        bytes_by_topic=dict(found.bytes_by_topic),
        run=found.run,
    )


@contextmanager
def _started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, interrupted at the end so that it drains."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_all(
    database: Path, names: Sequence[str], process: subprocess.Popen[bytes], log: Path, config: Config
) -> None:
    """Until every stream has had frames analysed."""
    status = topics(config.topics).status.name
    deadline_s = time.monotonic() + STARTS_WITHIN_S - SETTLE_S
    seen: set[str] = set()
    while len(seen) < len(names):
        if process.poll() is not None:
            raise StreamerError(f"streamer run ended before it was measured:\n{_end_of(log)}")
        if time.monotonic() > deadline_s:
            raise StreamerError(f"{len(names) - len(seen)} of {len(names)} streams did not start:\n{_end_of(log)}")
        time.sleep(_LOOK_S)
        try:
            seen = _analysed(database, status)
        except StreamerError:
            continue  # the bus, or its topics, are being made


def _analysed(database: Path, status: str) -> set[str]:
    """The streams that say they have had frames analysed."""
    bus = open_bus(f"sqlite:///{database}", create=False)
    try:
        statuses = [
            decode(record.value, Status, content_type(record.headers))
            for record in drain(bus, [status])
            if record.value is not None
        ]
    finally:
        bus.close()
    return {one.stream for one in statuses if one.analysed}


class _Watched:
    """The supervisor and its children."""

    def __init__(self, pid: int) -> None:
        self._supervisor = psutil.Process(pid)
        self._children = self._supervisor.children(recursive=True)

    def cpu_s(self) -> tuple[float, float]:
        """CPU seconds so far, of the supervisor and of its children."""
        return _cpu_s(self._supervisor), sum(map(_cpu_s, self._children))

    def memory_bytes(self) -> tuple[float, float]:
        """What the supervisor and its children hold; memory that several share counts once where the system says so."""
        return _memory_bytes(self._supervisor), sum(map(_memory_bytes, self._children))


def _busy_s() -> float:
    """CPU seconds that the whole machine has worked; what a host takes away from a guest counts."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory_bytes(process: psutil.Process) -> float:
    full = process.memory_full_info()
    return float(getattr(full, "pss", full.rss))


@dataclass(slots=True)
class _Found:
    """What the bus held. `heartbeats` by stream, with the bus's time."""

    heartbeats: dict[str, list[tuple[float, Status]]] = field(default_factory=lambda: defaultdict(list))
    latencies_s: list[float] = field(default_factory=list)
    bytes_by_topic: dict[str, tuple[int, int]] = field(default_factory=dict)
    run: RunRecord | None = None

    def tally(self, at_s: float) -> Tally:
        """All streams' counters at a moment, straight between their heartbeats."""
        counts = [0.0, 0.0, 0.0, 0.0]
        for beats in self.heartbeats.values():
            for place, values in enumerate(zip(*(_counts(status) for _, status in beats), strict=True)):
                counts[place] += between([time_s for time_s, _ in beats], values, at_s)
        return Tally(*counts)


def between(times_s: Sequence[float], values: Sequence[float], at_s: float) -> float:
    """The value at a moment, on the straight line between those before and after it; the last known one beyond."""
    for k in range(1, len(times_s)):
        if times_s[k] >= at_s:
            span_s = times_s[k] - times_s[k - 1]
            share = min(1.0, max(0.0, (at_s - times_s[k - 1]) / span_s)) if span_s > 0 else 1.0
            return values[k - 1] + share * (values[k] - values[k - 1])
    return values[-1]


def _counts(status: Status) -> tuple[float, float, float, float]:
    lost = sum(n for cause, n in status.dropped.items() if cause not in ("sample_rate", "budget", "closed"))
    return status.decoded, status.analysed, status.faces, lost


def _read(bus: Bus, config: Config, began_s: float, ended_s: float) -> _Found:
    names = topics(config.topics)
    found = _Found()
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for record in drain(bus, [one.name for one in (names.observations, names.windows, names.tracks, names.status)]):
        topic = record.topic.removeprefix(f"{config.topics.prefix}.")
        _add(totals[topic], record)
        if record.value is None:
            continue
        if record.topic == names.status.name:
            status = decode(record.value, Status, content_type(record.headers))
            found.heartbeats[status.stream].append((record.time_s, status))
        elif record.topic == names.observations.name and began_s <= record.time_s <= ended_s:
            seen = decode(record.value, Observation, content_type(record.headers))
            if seen.capture_time_s is not None:
                found.latencies_s.append(record.time_s - seen.capture_time_s)
    for record in drain(bus, [names.state.name]):
        if record.value is not None:
            _add(totals["track_snapshot" if b"/" in (record.key or b"") else "stream_snapshot"], record)
    for record in drain(bus, [names.runs.name]):
        if record.value is not None:
            found.run = decode(record.value, RunRecord, content_type(record.headers))
    found.bytes_by_topic = {name: (n, n_bytes) for name, (n, n_bytes) in totals.items()}
    return found


def _add(total: list[int], record: Incoming) -> None:
    total[0] += 1
    headers = sum(len(name) + len(value) for name, value in record.headers)
    total[1] += len(record.key or b"") + len(record.value or b"") + headers


def _end_of(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-2000:]
