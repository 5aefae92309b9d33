"""Resident memory of a worker: with nothing to do, for each stream more, and over many frames at speed.

Supervisor and child processes together; pages that both share count twice. Every number of streams gets a fresh worker,
looked at at the same age, so that what a young process loads once is in all of them. Slopes are robust ones.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer import machine
from streamer.bench.clips import loop_clip
from streamer.bench.fleet.memory import robust_slope
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.workers import WorkerProcess
from streamer.bench.record import header
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import open_source
from streamer.errors import StreamerError
from streamer.messages import JOB_OVER
from streamer.sources import parse

FLAT_SHARE = 0.05
"""Memory is flat when all judged frames together add no more than this share of it."""
_CAMERA_S = 20.0
_EVERY_S = 0.5
_PATIENCE_FPS = 5.0
_STARTS_WITHIN_S = 300.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`streams`: how many at once, each a run of its own, analysed `fps` times a second; `settle_s` until it is looked
    at, for as long again. `frames`: so many in all, at speed, on one file a core."""

    streams: tuple[int, ...] = (1, 2, 4, 8, 16)
    fps: float = 5.0
    settle_s: float = 10.0
    frames: int = 108_000


def run(clip: Path, config: Config, plan: Plan, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Raises `StreamerError` when streams do not come to life or a file does not end well."""
    with tempfile.TemporaryDirectory(prefix="affect-streamer-memory-") as place:
        folder = Path(place)
        camera = folder / "camera.mp4"
        loop_clip(clip, camera, _CAMERA_S)
        base_mb, supervisor_mb = _base(folder, plan)
        tell(f"no streams: {base_mb:.0f} MB")
        points: list[tuple[float, float]] = []
        for n in plan.streams:
            points.append((n, _with_streams(folder, camera, n, plan)))
            tell(f"{n} streams: {points[-1][1]:.0f} MB")
        tell(f"{plan.frames} frames at speed")
        samples = _at_speed(folder, clip, config, plan.frames, tell)
    return {
        **header("memory"),
        "clip": {"name": clip.name},
        "base_mb": base_mb,
        "supervisor_mb": supervisor_mb,
        "streams": per_stream(points),
        "at_speed": over_frames(samples),
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    streams, long = result["streams"], result["at_speed"]
    by_n = ", ".join(f"{n:g}: {mb:.0f}" for n, mb in streams["points"])
    return "\n".join(
        (
            f"{result['clip']['name']}, {result['machine']['cpu']}, MB of resident memory",
            f"  no streams        {result['base_mb']:7.1f}, of which the supervisor {result['supervisor_mb']:.1f}",
            f"  a stream more     {streams['slope_mb']:7.2f}, on {streams['beside_mb']:.1f} of the process ({by_n})",
            f"  {long['frames']} frames   {long['slope_kb_per_1000_frames']:7.1f} kB more every 1,000 frames; "
            f"{long['early_mb']:.1f} early, {long['late_mb']:.1f} late: {'flat' if long['flat'] else 'it grows'}",
        )
    )


def per_stream(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """From (number of streams, MB): what one more adds, and what is there beside them."""
    slope = robust_slope(points)
    beside = statistics.median(mb - slope * n for n, mb in points)
    return {"points": [list(point) for point in points], "slope_mb": slope, "beside_mb": beside}


def over_frames(samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """From (frames so far, MB): the slope, and whether it is flat; the first quarter, still loading, is not judged."""
    if len(samples) < 8:
        raise StreamerError("too few looks at the memory while frames went through: ask for more --frames")
    quarter = len(samples) // 4
    judged = samples[quarter:]
    slope_mb = robust_slope(judged)
    early = statistics.median(mb for _, mb in samples[quarter : 2 * quarter])
    return {
        "frames": int(samples[-1][0]),
        "looks": len(samples),
        "slope_kb_per_1000_frames": 1e6 * slope_mb,
        "early_mb": early,
        "late_mb": statistics.median(mb for _, mb in samples[-quarter:]),
        "flat": slope_mb * (judged[-1][0] - judged[0][0]) <= FLAT_SHARE * early,
    }


def _base(folder: Path, plan: Plan) -> tuple[float, float]:
    """A worker without a stream, and its supervisor alone."""
    with Site(f"sqlite:///{folder}/base.db", "base", folder / "base", [folder / "camera.mp4"]) as site:
        site.make_topics()
        worker = site.start("base")
        _until_joined(worker)
        time.sleep(plan.settle_s)
        mb = _looked_at(worker, plan.settle_s)
        supervisor_mb = worker.supervisor_rss_bytes() / 1e6
        worker.stop()
    return mb, supervisor_mb


def _with_streams(folder: Path, camera: Path, n: int, plan: Plan) -> float:
    """A fresh worker with so many streams, in one child."""
    name = f"streams-{n}"
    with Site(f"sqlite:///{folder}/{name}.db", name, folder / name, [camera], {"fleet.starts_per_s": 1000.0}) as site:
        site.make_topics()
        worker = site.start(name)
        view = site.view("status")
        streams = site.names("camera", n)
        site.define(dict.fromkeys(streams, camera), sample_fps=plan.fps)
        site.until_live(view, streams, _STARTS_WITHIN_S)
        time.sleep(plan.settle_s)
        mb = _looked_at(worker, plan.settle_s)
        worker.stop()
    return mb


def _at_speed(folder: Path, clip: Path, config: Config, frames: int, tell: Tell) -> list[tuple[float, float]]:
    """(frames so far, MB) while a worker takes files of that many frames together through all stages."""
    n = machine.n_cores()
    recording = folder / "recording.mp4"
    loop_clip(clip, recording, frames / n / _fps(clip, config))
    settings = {"fleet.roles": ["jobs"], "fleet.job_slots": n, "worker.children": n}
    samples: list[tuple[float, float]] = []
    with Site(f"sqlite:///{folder}/speed.db", "speed", folder / "speed", [recording], settings) as site:
        site.make_topics()
        worker = site.start("speed")
        view = site.view("jobs.status")
        jobs = site.submit({f"file-{k}": recording for k in range(n)})
        deadline_s = time.monotonic() + 60 + frames / _PATIENCE_FPS
        next_s = 0.0
        while not all(job.job in view.jobs and view.jobs[job.job].state in JOB_OVER for job in jobs):
            view.look()
            now_s, done = time.monotonic(), sum(status.analysed for status in view.jobs.values())
            if now_s > deadline_s:
                raise StreamerError(f"{done} of {frames} frames were done in the time of all of them")
            if done and now_s >= next_s:
                samples.append((done, worker.footprint().rss_bytes / 1e6))
                if len(samples) % 120 == 0:
                    tell(f"{done} of {frames} frames: {samples[-1][1]:.0f} MB")
                next_s = now_s + _EVERY_S
        if any(status.state != "done" for status in view.jobs.values()):
            raise StreamerError(f"a file did not end well: {[status.message for status in view.jobs.values()]}")
        worker.stop()
    return samples


def _fps(clip: Path, config: Config) -> float:
    """Frames a second of a clip, by counting them."""
    [source] = parse(str(clip), "archive")
    with open_source(source, config.decode, SystemClock()) as decoder:
        times_s = [frame.media_time_s for frame in decoder]
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        raise StreamerError(f"{clip} has no two frames at different times: choose another clip")
    return (len(times_s) - 1) / (times_s[-1] - times_s[0])


def _looked_at(worker: WorkerProcess, duration_s: float) -> float:
    """The median of looks at the whole worker's memory, in MB."""
    until_s = time.monotonic() + duration_s
    looks = [worker.footprint().rss_bytes / 1e6]
    while time.monotonic() < until_s:
        time.sleep(_EVERY_S)
        looks.append(worker.footprint().rss_bytes / 1e6)
    return statistics.median(looks)


def _until_joined(worker: WorkerProcess) -> None:
    """Until it is a member of its group: idle from then on."""
    until_s = time.monotonic() + _STARTS_WITHIN_S
    while "worker.joined" not in worker.said():
        if not worker.running or time.monotonic() > until_s:
            raise StreamerError(f"the worker did not start:\n{worker.said()}")
        time.sleep(0.05)
