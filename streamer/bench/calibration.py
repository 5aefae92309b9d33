"""What each stage costs on this machine: parts alone with all cores loaded, and what is left of three live runs.

Decoding, resizing, searching, aligning and inference are measured by themselves (`streamer/bench/part.py`). What else a
frame, a stream and a process cost is what real runs of `streamer run` took beyond that: a stream a child and then four
at one frame a second, and enough streams for some two thirds of the cores.
"""

from __future__ import annotations

import datetime
import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engines.zoo import spec_of
from streamer import machine
from streamer.bench.clips import loop_clip
from streamer.bench.live_run import STARTS_WITHIN_S, LiveRun, run_live, shown_at
from streamer.bench.throughput import part_on_all_cores
from streamer.config import Config, FrameSettings, GateSettings
from streamer.errors import StreamerError
from streamer.plan.costs import Costs, Curve, Memory, RecordBytes
from streamer.plan.fleet import WorkerKind, simulate
from streamer.plan.load import Bill, StreamLoad

QUIET_FPS = 1
QUIET_STREAMS = 4
"""Of the second quiet run, for each child."""
LOADED_FPS = 10
"""Of the loaded run: many streams of few frames, so that how they fall beside each other evens out."""
LOADED_SHARE = 0.7
SEEDS = range(4)
"""How the frames of few streams fall beside each other decides on batches, and is chance: means over these."""
SIMULATED_S = 15.0
ROUNDS = 3
"""What a frame costs changes how full batches are, and that what it costs: so many times the fit is made anew."""
DISTURBED_SHARE = 0.1
"""With a larger share of the cores taken by other programs, what is measured says little of this software."""


@dataclass(slots=True)
class Showing:
    """Videos of one clip at a size, made when they are asked for: in `folder`, each for as long as a run needs it."""

    clip: Path
    folder: Path
    width: int
    height: int
    measure_s: float
    _made: dict[int, Path] = field(default_factory=dict)

    def at(self, rate: int) -> Path:
        """The video with that many frames a second."""
        if rate not in self._made:
            once, target = self.folder / f"once-{rate}.mp4", self.folder / f"shown-{rate}.mp4"
            shown_at(self.clip, once, width=self.width, height=self.height, rate=rate)
            loop_clip(once, target, STARTS_WITHIN_S + self.measure_s + 10)
            self._made[rate] = target
        return self._made[rate]

    def run(self, config: Config, n_streams: int, rate: int) -> LiveRun:
        """So many streams of it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            return run_live(self.at(rate), config, n_streams, folder=Path(place), measure_s=self.measure_s)


def plain(config: Config) -> Config:
    """The configuration with which is measured: every frame is analysed, with all its faces, and none stands for
    another."""
    return msgspec.structs.replace(config, frames=FrameSettings(), gates=GateSettings())


def calibrate(
    showing: Showing,
    config: Config,
    *,
    part_s: float = 1.0,
    tell: Callable[[str], None] = lambda _: None,
) -> Costs:
    """This machine's costs with these models, on that clip. Raises `StreamerError` where it cannot be measured."""
    config = plain(config)
    kind = WorkerKind(machine.n_cores(), config.worker.children)
    tell("parts alone, on all cores")
    video = showing.at(LOADED_FPS)
    once = {name: _frame_s(name, video, config, part_s, 1) for name in ("decode", "resize", "align")}
    # Each at the very batches that its runner pads to.
    detector = spec_of(config.models.detector, role="detector").prepared_batches
    expression = spec_of(
        config.models.expression, precision=config.models.precision, role="expression"
    ).prepared_batches
    batches = {"detect": detector, "refine": detector, "embed": expression}
    curves = {name: [_frame_s(name, video, config, part_s, batch) for batch in batches[name]] for name in batches}
    tell("a quiet stream a child")
    alone = showing.run(config, kind.n_children, QUIET_FPS)
    tell(f"{QUIET_STREAMS} quiet streams a child")
    quiet = showing.run(config, QUIET_STREAMS * kind.n_children, QUIET_FPS)
    faces = max(alone.faces_per_frame, 1e-3)

    def by_face(name: str) -> Curve:
        return Curve(batches=batches[name], item_s=tuple(frame_s / faces for frame_s in curves[name]))

    parts = Costs(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=machine.facts(),
        versions=machine.versions(),
        models={name: str(one) for name, one in msgspec.to_builtins(config.models).items() if one is not None},
        clip=showing.clip.name,
        width=showing.width,
        height=showing.height,
        faces=round(faces, 3),
        decode_s=once["decode"],
        resize_s=once["resize"],
        search=Curve(batches=batches["detect"], item_s=tuple(curves["detect"])),
        refine=by_face("refine"),
        align_s=once["align"] / faces,
        embed=by_face("embed"),
        frame_s=0.0,
        face_s=0.0,
        records=RecordBytes(
            observation=0.0, window=0.0, track=0.0, status=0.0, stream_snapshot=0.0, track_snapshot=0.0
        ),
        memory=Memory(supervisor_bytes=0.0, child_bytes=0.0, stream_bytes=0.0),
    )
    n_loaded = streams_for(parts, kind, LOADED_FPS, config.detect.interval_s)
    tell(f"{n_loaded} streams at {LOADED_FPS} frames/s")
    loaded = showing.run(config, n_loaded, LOADED_FPS)
    others = max(run.others_cores for run in (alone, quiet, loaded))
    if others > DISTURBED_SHARE * kind.cores:
        tell(f"other programs took {others:.1f} of {kind.cores} cores meanwhile: costs come out too high")
    return completed(parts, (alone, quiet, loaded), kind, config)


def streams_for(parts: Costs, kind: WorkerKind, fps: int, interval_s: float) -> int:
    """How many streams take about `LOADED_SHARE` of the cores, with the same number in each child where that can be."""
    load = StreamLoad(fps, parts.width, parts.height, parts.faces)
    each = sum(Bill(parts, interval_s if parts.refine else 0.0).shares(load).values())
    per_child = LOADED_SHARE * kind.cores / each / kind.n_children
    return (
        max(1, math.floor(per_child)) * kind.n_children
        if per_child >= 1
        else max(1, round(per_child * kind.n_children))
    )


def completed(parts: Costs, runs: tuple[LiveRun, LiveRun, LiveRun], kind: WorkerKind, config: Config) -> Costs:
    """`parts` with what the runs took beyond them: see the module. The third of `runs` is the loaded one.

    What stage times say of publishing, state and encoding is put there; the rest of a frame is the loop's.
    """
    alone, quiet, loaded = runs
    record = loaded.run
    run_s = (record.finished_s or 0.0) - record.started_s
    analysed = sum(result.analysed for result in record.sources)
    found = sum(result.faces for result in record.sources)
    if run_s <= 0 or not analysed:
        raise StreamerError("the loaded run says nothing of how long it ran: measure again")
    # So often a child sends while faces are in view.
    flushes = run_s * kind.n_children / config.checkpoint.live_flush_s
    flush_s = record.stage_s.get("publish", 0.0) / flushes
    costs = msgspec.structs.replace(
        parts,
        flush_s=flush_s,
        supervisor_s=statistics.median(run.supervisor_cpu_s_per_s for run in runs),
        records=_record_bytes(loaded),
        memory=_memory(alone, quiet, kind),
    )
    own_s = (record.stage_s.get("state", 0.0) + record.stage_s.get("encode", 0.0)) / max(1, found)
    for _ in range(ROUNDS):
        costs = _fitted(costs, runs, own_s, kind, config)
    return msgspec.structs.replace(costs, acknowledge_s=_acknowledge_s(alone, costs, kind, config))


def _fitted(
    costs: Costs, runs: tuple[LiveRun, LiveRun, LiveRun], own_s: float, kind: WorkerKind, config: Config
) -> Costs:
    """`costs` with which simulated runs take more nearly what the measured ones took; a face's share is `own_s`.

    Children, streams and frames explain what is left: children * child_s + streams * stream_s + frames/s * rest.
    """
    alone, quiet, loaded = runs
    faces = max(loaded.faces_per_frame, 1e-3)

    def left(run: LiveRun) -> float:
        known = kind.n_children * costs.child_s + run.n_streams * costs.stream_s
        known += run.analysed_fps * (costs.frame_s + costs.face_s * faces)
        return _beyond(run, costs, kind, config) + known

    left_alone, left_quiet, left_loaded = left(alone), left(quiet), left(loaded)
    stream_s, rest_s = _solve(
        (quiet.n_streams - alone.n_streams, quiet.analysed_fps - alone.analysed_fps, left_quiet - left_alone),
        (loaded.n_streams - alone.n_streams, loaded.analysed_fps - alone.analysed_fps, left_loaded - left_alone),
    )
    child_s = left_alone - alone.n_streams * stream_s - alone.analysed_fps * rest_s
    face_s = min(own_s, rest_s / faces)
    return msgspec.structs.replace(
        costs,
        child_s=max(0.0, child_s) / kind.n_children,
        stream_s=stream_s,
        face_s=face_s,
        frame_s=max(0.0, rest_s - face_s * faces),
    )


def _frame_s(name: str, video: Path, config: Config, part_s: float, batch: int) -> float:
    found = part_on_all_cores(name, video, config, part_s, batch)["cpu_s_per_frame"]
    assert isinstance(found, float), "seconds"
    return found


def as_loads(run: LiveRun, costs: Costs, fps: float) -> list[StreamLoad]:
    """The streams of a measured run as the simulator takes them."""
    return [StreamLoad(fps, costs.width, costs.height, costs.faces)] * run.n_streams


def _beyond(run: LiveRun, costs: Costs, kind: WorkerKind, config: Config) -> float:
    """CPU seconds a second of the children beyond what these costs explain."""
    bill = Bill(costs, config.detect.interval_s if costs.refine else 0.0)
    loads = as_loads(run, costs, run.decoded_fps / run.n_streams)
    known = [simulate(bill, [loads], kind, config, duration_s=SIMULATED_S, seed=seed) for seed in SEEDS]
    children_s = statistics.mean(one.cpu_s_per_s - one.supervisors_s for one in known)
    return run.cpu_s_per_s - run.supervisor_cpu_s_per_s - children_s


def _solve(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float]:
    """(x, y) with a x + b y = c for both (a, b, c), neither below 0: one that would be is 0, and the other fits."""
    (a, b, c), (d, e, f) = one, other
    determinant = a * e - b * d
    x = (c * e - b * f) / determinant if determinant else 0.0
    y = (a * f - c * d) / determinant if determinant else 0.0
    if x < 0:
        return 0.0, max(0.0, f / e if e else 0.0)
    if y < 0:
        return max(0.0, c / a if a else 0.0), 0.0
    return x, y


def _record_bytes(run: LiveRun) -> RecordBytes:
    def mean(topic: str) -> float:
        n, n_bytes = run.bytes_by_topic.get(topic, (0, 0))
        return n_bytes / n if n else 0.0

    return RecordBytes(
        observation=mean("observations"),
        window=mean("windows"),
        track=mean("tracks"),
        status=mean("status"),
        stream_snapshot=mean("stream_snapshot"),
        track_snapshot=mean("track_snapshot"),
    )


def _memory(alone: LiveRun, quiet: LiveRun, kind: WorkerKind) -> Memory:
    more = (quiet.memory_bytes - alone.memory_bytes) / (quiet.n_streams - alone.n_streams)
    stream_bytes = max(0.0, more)
    children = alone.memory_bytes - alone.supervisor_memory_bytes - alone.n_streams * stream_bytes
    return Memory(
        supervisor_bytes=alone.supervisor_memory_bytes,
        child_bytes=max(0.0, children) / kind.n_children,
        stream_bytes=stream_bytes,
    )


def _acknowledge_s(run: LiveRun, costs: Costs, kind: WorkerKind, config: Config) -> float:
    """What the median record took beyond what is known of it, in a run in which nothing queues."""
    bill = Bill(costs, config.detect.interval_s if costs.refine else 0.0)
    known = simulate(bill, [as_loads(run, costs, QUIET_FPS)], kind, config, duration_s=60.0).sent_s(0.5)
    if known is None or not run.latencies_s:
        return 0.0
    return max(0.0, statistics.median(run.latencies_s) - known)
