"""Whether a stream in trouble moves the others: their latency beside a crowd, a hung and a flapping source, and alone.

Quiet streams are files shown live at their own rate by `streamer run`: real processes, a real bus (SQLite). Latency is
from a frame's arrival to the bus's time of its record: both are wall time of one machine. The bus stamps a record when
it is written, inside the transaction, so the end of the commit (some milliseconds, the same for all) is not in it.
Scenarios alternate, and the quiet streams alone are measured twice a round: what lies between these two is noise.
"""

from __future__ import annotations

import contextlib
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from streamer.bench.cameras.http_camera import MjpegCamera
from streamer.bench.fleet.videos import slowed
from streamer.bench.record import header
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.read import drain
from streamer.bus.topics import content_type
from streamer.config import TopicSettings
from streamer.errors import StreamerError
from streamer.messages import Observation, Status, decode

ALONE, CROWDED, HUNG, FLAPPING, AGAIN = "alone", "crowded", "hung", "flapping", "alone_again"
SCENARIOS = (ALONE, CROWDED, HUNG, FLAPPING, AGAIN)
TROUBLE = "trouble"
CROWD_GRID = (5, 4)
WARM_S = 4.0
"""So much of each stream's beginning is not counted: processes start, engines are compiled."""
FLAPS_EVERY_S = 1.0
ALLOWED = 1.10
_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 30.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`n_quiet` streams at `fps` for `measure_s`, in `children` processes."""

    n_quiet: int = 4
    fps: int = 10
    measure_s: float = 20.0
    children: int = 1

    @property
    def n_frames(self) -> int:
        """How many frames a quiet stream has."""
        return math.ceil((self.measure_s + WARM_S) * self.fps)


@dataclass(frozen=True, slots=True)
class Round:
    """What one scenario gave: latencies of the quiet streams' records in seconds, how many frames were dropped."""

    latencies_s: tuple[float, ...]
    dropped: dict[str, int]
    trouble_records: int
    trouble_dropped: dict[str, int]


def run(clip: Path, plan: Plan, *, repeats: int, tell: Tell) -> dict[str, Any]:
    """Every scenario `repeats` times in turn; the ratio of each p99 to that of the same round alone, and medians."""
    rounds: list[dict[str, Round]] = []
    with tempfile.TemporaryDirectory(prefix="affect-streamer-isolation-") as place:
        folder = Path(place)
        quiet = slowed(clip, folder / "quiet.mp4", rate=plan.fps, n_frames=plan.n_frames)
        crowd = slowed(crowded(clip, folder / "wall.mp4"), folder / "crowd.mp4", rate=plan.fps, n_frames=plan.n_frames)
        for number in range(repeats):
            rounds.append({})
            for scenario in SCENARIOS:
                with _trouble(scenario, crowd, quiet) as source:
                    found = _measured(folder / f"{number}-{scenario}.db", quiet, source, plan)
                rounds[-1][scenario] = found
                tell(f"round {number + 1} of {repeats}, {scenario}: p99 {1000 * p99(found.latencies_s):.0f} ms")
    return _result(rounds, plan, clip)


def crowded(clip: Path, target: Path) -> Path:
    """`clip` with its picture repeated in a grid of `CROWD_GRID`, so that 20 faces are in every frame."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        video = source.streams.video[0]
        stream = out.add_stream("mpeg4", rate=video.average_rate or 25)
        stream.width, stream.height = video.width * CROWD_GRID[0], video.height * CROWD_GRID[1]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
        for frame in source.decode(video):
            wall = np.tile(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), (CROWD_GRID[1], CROWD_GRID[0], 1))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(wall, format="rgb24")))
        out.mux(stream.encode(None))
    return target


def p99(latencies_s: Sequence[float]) -> float:
    """The smallest latency that 99 of 100 do not exceed."""
    return quantile(latencies_s, 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share does not exceed. Raises `StreamerError` where there are none."""
    if not values:
        raise StreamerError("the quiet streams gave no records to measure: is there a face in the clip?")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = ["scenario      p50 ms   p99 ms   p99 / alone (each round)      dropped"]
    for name, one in result["scenarios"].items():
        ratios = " ".join(f"{ratio:.2f}" for ratio in one["p99_to_alone"])
        lines.append(
            f"{name:12} {1000 * one['p50_s']:7.1f} {1000 * one['p99_s']:8.1f}   "
            f"{one['p99_to_alone_median']:.2f} ({ratios})   {sum(one['dropped'].values())}"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def _trouble(scenario: str, crowd: Path, quiet: Path) -> Iterator[str | None]:
    """The address of what is to disturb; None where nothing is."""
    if scenario in (ALONE, AGAIN):
        yield None
    elif scenario == CROWDED:
        yield str(crowd)
    else:
        camera = MjpegCamera(quiet)
        over = threading.Event()
        flapper = threading.Thread(target=_flap, args=(camera, over), daemon=True)
        try:
            if scenario == HUNG:
                camera.freeze()  # it accepts connections and says nothing
            else:
                flapper.start()
            yield camera.url
        finally:
            over.set()
            if flapper.is_alive():
                flapper.join()
            camera.close()


def _flap(camera: MjpegCamera, over: threading.Event) -> None:
    while not over.wait(FLAPS_EVERY_S):
        camera.restart()


def _measured(database: Path, quiet: Path, trouble: str | None, plan: Plan) -> Round:
    """One run of `streamer run` until the quiet streams have ended."""
    names = [f"quiet-{number}" for number in range(plan.n_quiet)]
    sources = [f"{name}={quiet}" for name in names]
    sources += [f"{TROUBLE}={trouble}"] if trouble else []
    log = database.with_suffix(".log")
    command = [sys.executable, "-m", "streamer", "run", *sources, "--mode", "live", "--bus", f"sqlite:///{database}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--children", str(plan.children), "--offline", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ended(database, names, process, plan, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    bus = open_bus(f"sqlite:///{database}", create=False)
    try:
        return _read(bus, names)
    finally:
        bus.close()


def _wait_until_ended(
    database: Path, names: Sequence[str], process: subprocess.Popen[bytes], plan: Plan, log: Path
) -> None:
    deadline_s = time.monotonic() + _STARTS_WITHIN_S + plan.n_frames / plan.fps + _ENDS_WITHIN_S
    while True:
        if process.poll() is not None:
            break  # nothing disturbed, and all have ended
        if time.monotonic() > deadline_s:
            raise StreamerError(f"the quiet streams did not end in time:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(1.0)
        if database.exists() and time.monotonic() > deadline_s - _STARTS_WITHIN_S - _ENDS_WITHIN_S:
            bus = open_bus(f"sqlite:///{database}", create=False)
            try:
                last = _statuses(bus)
                if all(name in last and last[name].state == "ended" for name in names):
                    return
            finally:
                bus.close()
    if process.returncode not in (0, 130):
        raise StreamerError(f"streamer run failed:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def _statuses(bus: Bus) -> dict[str, Status]:
    """The last word about each stream."""
    last: dict[str, Status] = {}
    for record in drain(bus, [f"{TopicSettings().prefix}.status"]):
        if record.value is not None:
            status = decode(record.value, Status, content_type(record.headers))
            last[status.stream] = status
    return last


def _read(bus: Bus, names: Sequence[str]) -> Round:
    latencies_s: list[float] = []
    trouble_records = 0
    for record in drain(bus, [f"{TopicSettings().prefix}.observations"]):
        if record.value is None:
            continue
        seen = decode(record.value, Observation, content_type(record.headers))
        if seen.stream == TROUBLE:
            trouble_records += 1
        elif seen.media_time_s >= WARM_S and seen.capture_time_s is not None:
            latencies_s.append(record.time_s - seen.capture_time_s)
    last = _statuses(bus)
    dropped: dict[str, int] = {}
    for name in names:
        for cause, n in (last[name].dropped if name in last else {}).items():
            dropped[cause] = dropped.get(cause, 0) + n
    return Round(tuple(latencies_s), dropped, trouble_records, dict(last[TROUBLE].dropped) if TROUBLE in last else {})


def _result(rounds: Sequence[dict[str, Round]], plan: Plan, clip: Path) -> dict[str, Any]:
    scenarios: dict[str, Any] = {}
    for name in SCENARIOS:
        mine = [one[name] for one in rounds]
        ratios = [p99(one[name].latencies_s) / p99(one[ALONE].latencies_s) for one in rounds]
        scenarios[name] = {
            "p50_s": statistics.median(quantile(one.latencies_s, 0.5) for one in mine),
            "p99_s": statistics.median(p99(one.latencies_s) for one in mine),
            "p99_s_each": [p99(one.latencies_s) for one in mine],
            "p99_to_alone": ratios,
            "p99_to_alone_median": statistics.median(ratios),
            "records": sum(len(one.latencies_s) for one in mine),
            "dropped": {k: sum(one.dropped.get(k, 0) for one in mine) for one in mine for k in one.dropped},
            "trouble_records": sum(one.trouble_records for one in mine),
            "trouble_dropped": {
                k: sum(one.trouble_dropped.get(k, 0) for one in mine) for one in mine for k in one.trouble_dropped
            },
        }
    troubled = (CROWDED, HUNG, FLAPPING)
    return header("isolation") | {
        "clip": clip.name,
        "quiet_streams": plan.n_quiet,
        "fps": plan.fps,
        "measured_s": plan.measure_s,
        "children": plan.children,
        "crowd_faces": CROWD_GRID[0] * CROWD_GRID[1],
        "rounds": len(rounds),
        "latency": "arrival of the frame to the bus's time of its record (stamped inside the commit)",
        "allowed": ALLOWED,
        "good": all(scenarios[name]["p99_to_alone_median"] <= ALLOWED for name in troubled),
        "scenarios": scenarios,
    }
