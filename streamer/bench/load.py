"""So many live streams on this machine for a while, watched: what every frame took, what was lost, and what it cost.

The streams are files shown at their own rate (`--mode live`), whose generator costs nothing beyond their decoding, or
one RTSP camera of the rig, watched by every stream, whose CPU seconds are measured apart.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from streamer import machine
from streamer.bench import marks
from streamer.bench.broker import Broker
from streamer.bench.cameras import rtsp
from streamer.bench.cameras.clips import camera_clip
from streamer.bench.cameras.rtsp import RtspCamera, RtspOptions
from streamer.bench.clips import loop_clip
from streamer.bench.marks import ChildMarks, Window
from streamer.bench.watched_child import FOLDER
from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.config import Config
from streamer.control.words import Busy
from streamer.errors import StreamerError, UsageError
from streamer.sources import parse_all
from streamer.worker.children import Children
from streamer.worker.supervisor import RunOutcome, Supervisor

HEIGHT_PX = 360
CLIP_FRAMES = 60
"""As many as go to the parts alone, and more."""
STARTS_S = 120.0
"""What a file has beyond what is measured, for streams that start one after the other."""
STARTED_WITHIN_S = 90.0
AFTER_S = 1.0
"""So long after the measurement a frame of it may still be acknowledged."""
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """`n_streams` at `fps`, counted for `measure_s` once all have been live for `warm_s`."""

    n_streams: int
    fps: int = 30
    measure_s: float = 10.0
    warm_s: float = 3.0
    rtsp: bool = False

    @property
    def source(self) -> str:
        """What the streams are, in words."""
        if self.rtsp:
            return "one RTSP camera watched by every stream; its server's CPU seconds are not the worker's"
        return (
            "files shown live at their own rate: reading them costs nothing beyond decoding, which is the worker's. A "
            "frame arrives when its turn is; it is decoded before that, which latency therefore leaves out"
        )


class WatchedChildren(Children):
    """Children that leave marks."""

    program = "streamer.bench.watched_child"


def check(plan: Plan) -> None:
    """Raise `UsageError` where a server is missing that the plan needs."""
    if plan.rtsp and (reason := rtsp.missing()) is not None:
        raise UsageError(f"{reason}: --rtsp needs them, install them (docs/benchmarks.md says how)")


def camera_file(clip: Path, folder: Path, plan: Plan) -> Path:
    """What the streams show: the clip at `HEIGHT_PX` and the plan's rate, without B-frames; a file long enough."""
    short = folder / f"short-{plan.fps}.mp4"
    if not short.exists():
        camera_clip(clip, short, rate=plan.fps, n_frames=CLIP_FRAMES, every=1, height_px=HEIGHT_PX)
    if plan.rtsp:
        return short
    wanted_s = STARTS_S + plan.warm_s + plan.measure_s + 2 * AFTER_S
    whole = folder / f"camera-{plan.fps}-{wanted_s:g}.mp4"
    if not whole.exists():
        loop_clip(short, whole, wanted_s)
    return whole


def hold(clip: Path, config: Config, plan: Plan, folder: Path, *, broker: Broker | None = None) -> dict[str, Any]:
    """Run the streams (`clip` of `camera_file`) on the broker, or on an SQLite file, and give their figures.

    `folder`, which is the run's own, names the prefix of the topics. Raises `StreamerError` when the streams do not all
    start, or a worker process fails.
    """
    with ExitStack() as stack:
        stack.enter_context(_variable(FOLDER, str(folder)))
        shown, generators = str(clip), list[psutil.Process]()
        if plan.rtsp:
            camera = RtspCamera(folder, RtspOptions(clip=clip, transport="tcp"))
            stack.callback(camera.close)
            shown, generators = camera.url, [psutil.Process(camera.pid)]
        brokers = [] if broker is None else [psutil.Process(broker.process.pid)]
        chosen = _settings(config, folder, broker)
        bus = open_bus(chosen.bus, settings=chosen.topics)
        stack.callback(bus.close)
        bus.ensure_topics(topics(chosen.topics).all())
        sources = parse_all([f"camera-{number}={shown}" for number in range(plan.n_streams)], "live")
        supervisor = Supervisor(chosen, sources, bus, children=WatchedChildren(), controlled=True)
        outcomes: list[RunOutcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(supervisor.run()), name="supervisor", daemon=True)
        began_s = time.monotonic()
        thread.start()
        try:
            _until_live(supervisor, plan.n_streams, thread, outcomes)
            started_s = time.monotonic() - began_s
            _wait(plan.warm_s, thread)
            window_s = time.monotonic()
            before = _cpu(generators, brokers)
            _wait(plan.measure_s, thread)
            after = _cpu(generators, brokers)
            window = (window_s, window_s + plan.measure_s)
            _wait(AFTER_S, thread)
        finally:
            supervisor.interrupt()
            thread.join(2 * chosen.worker.drain_timeout_s + 10.0)
    if not outcomes or outcomes[0].fatal is not None:
        raise StreamerError(f"the streams could not be watched: {outcomes[0].fatal if outcomes else 'no end'}")
    children = [ChildMarks.read(path) for path in sorted(folder.glob("*.marks"))]
    spent = {name: after[name] - before[name] for name in after}
    return {"started_s": round(started_s, 2), **figures(children, window, plan, spent, chosen.batch.max_frames)}


def figures(
    children: Sequence[ChildMarks], window: Window, plan: Plan, spent_s: dict[str, float], max_frames: int
) -> dict[str, Any]:
    """The figures of a window out of the children's marks. `spent_s`: CPU seconds of others than the children.

    `lost_share` is of the frames that decoders gave, `missing_share` of those that were due; a file that falls behind
    loses none and misses many. `dropped`, by cause, is as exact as the children's ticks are close (a second).
    """
    if not children:
        raise StreamerError("no worker process left any marks: it was killed, look at its log")
    wall_s = window[1] - window[0]
    frames = [one for child in children for one in marks.within(child.frames, window)]
    analysed = [one for one in frames if one.analysed_s is not None]
    expected = round(plan.n_streams * plan.fps * wall_s)
    drops: Counter[str] = Counter()
    for child in children:
        drops += marks.dropped(child.samples, window)
    worker_s = sum(marks.cpu_s(child.samples, window) for child in children)
    publish_s = sum(marks.publish_s(child.samples, window) for child in children)
    sizes = [n for child in children for at_s, n in child.batches if window[0] <= at_s < window[1]]
    per_batch = sum(sizes) / len(sizes) if sizes else 0.0
    return {
        "streams": plan.n_streams,
        "fps": plan.fps,
        "measured_s": wall_s,
        "frames_due": expected,
        "frames_offered": len(frames),
        "frames_analysed": len(analysed),
        "lost_share": 1 - len(analysed) / len(frames) if frames else 1.0,
        "missing_share": max(0.0, 1 - len(analysed) / expected),
        "dropped": dict(drops),
        "latency_s": marks.spread(marks.latencies_s(frames)),
        "stages_s": {name: marks.spread(values) for name, values in marks.stages_s(frames).items()},
        "frames_per_batch": per_batch,
        "batch_fill": per_batch / max_frames,
        "cpu": {"children_s": worker_s, "publish_s": publish_s, **spent_s},
        "publish_share": publish_s / worker_s if worker_s > 0 else 0.0,
        "cpu_s_per_frame": (worker_s + spent_s.get("supervisor_s", 0.0)) / max(1, len(analysed)),
        "cores_for_others": (spent_s.get("generator_s", 0.0) + spent_s.get("broker_s", 0.0)) / wall_s,
    }


def free_cores(held: dict[str, Any], cores: int | None = None) -> float:
    """The cores that generator and broker left to the worker."""
    return (machine.n_cores() if cores is None else cores) - float(held["cores_for_others"])


def _settings(config: Config, folder: Path, broker: Broker | None) -> Config:
    """The configuration with a bus, and a place for the spool, of the run's own."""
    spool = msgspec.structs.replace(config.spool, folder=str(folder / "spool"))
    if broker is None:
        return msgspec.structs.replace(config, spool=spool, bus=f"sqlite:///{folder}/bus.db")
    named = msgspec.structs.replace(config.topics, prefix=folder.name)
    return msgspec.structs.replace(config, spool=spool, bus=broker.url, topics=named)


def _until_live(supervisor: Supervisor, n_streams: int, thread: threading.Thread, outcomes: list[RunOutcome]) -> None:
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while True:
        if not thread.is_alive():
            raise StreamerError(f"the streams could not be watched: {outcomes[0].fatal if outcomes else 'no end'}")
        try:
            states = Counter(one.state for one in supervisor.control.streams())
        except Busy:  # it is beginning
            states = Counter()
        if states["live"] == n_streams:
            return
        if time.monotonic() > deadline_s:
            raise StreamerError(f"{n_streams} streams were not live within {STARTED_WITHIN_S:g} s: {dict(states)}")
        time.sleep(_LOOK_S)


def _wait(duration_s: float, thread: threading.Thread) -> None:
    thread.join(duration_s)
    if not thread.is_alive():
        raise StreamerError("the run ended while it was measured: look at its log")


def _cpu(generators: Sequence[psutil.Process], brokers: Sequence[psutil.Process]) -> dict[str, float]:
    found = {"supervisor_s": time.process_time()}
    for name, processes in (("generator_s", generators), ("broker_s", brokers)):
        if processes:
            found[name] = sum(sum(process.cpu_times()[:2]) for process in processes)
    return found


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
