"""What the bus remembers of one file: which run to draw, and what was seen in which frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from streamer.bus.protocol import Bus
from streamer.bus.read import drain, run_records, typed
from streamer.errors import UsageError
from streamer.messages import Observation, RunRecord, VaOrigin
from streamer.progress import printable
from streamer.source import Source

State = Literal["running", "done", "failed", "interrupted", "unrecorded"]
"""How the run went; `unrecorded` where its observations are there and no record of it."""
_PREFERRED: tuple[State, ...] = ("unrecorded", "running", "interrupted", "failed", "done")


class TrackId(NamedTuple):
    """A face followed through the file: numbers are unique within an epoch."""

    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation, as far as it is drawn. `box_xywh` are fractions of the displayed frame."""

    track: TrackId
    media_time_s: float
    label: str | None
    confidence: float
    valence: float
    arousal: float
    va_origin: VaOrigin
    causes: tuple[str, ...]
    box_xywh: tuple[float, float, float, float]
    score: float

    @property
    def is_low(self) -> bool:
        """Whether the face was not good enough to be given a label."""
        return self.label is None

    @property
    def area(self) -> float:
        """The box's part of the frame."""
        return self.box_xywh[2] * self.box_xywh[3]


@dataclass(frozen=True, slots=True)
class RunChoice:
    """The run whose observations are drawn; `others` is how many more runs of the same file there are.

    `at_s` is when it ended, or began where it did not end (seconds since 1970).
    """

    run: str
    stream: str
    state: State
    at_s: float = 0.0
    others: int = 0

    @property
    def name(self) -> str:
        """Run and stream, as they can be shown."""
        return f"run {printable(self.run)} of stream {printable(self.stream)}"


class Recording:
    """The observations of one run of one file, found by the frame they were made in. `n` is how many there are.

    A frame's pts is exact; where a source counted anew and a pts comes twice, the nearest media time tells which is
    meant. Memory is some 400 bytes an observation.
    """

    def __init__(self, choice: RunChoice, observations: Iterable[Observation]) -> None:
        self.choice = choice
        self.n = 0
        self._by_pts: dict[int, list[Seen]] = {}
        for observation in observations:
            if observation.pts is not None and len(observation.box_xywh) == 4:
                self.n += 1
                self._by_pts.setdefault(observation.pts, []).append(_seen(observation))

    def at(self, pts: int, media_time_s: float) -> tuple[Seen, ...]:
        """The faces seen in the frame of this pts, each track once."""
        here = self._by_pts.get(pts, ())
        if len({seen.media_time_s for seen in here}) > 1:
            nearest_s = min((seen.media_time_s for seen in here), key=lambda t: abs(t - media_time_s))
            here = [seen for seen in here if seen.media_time_s == nearest_s]
        return tuple({seen.track: seen for seen in here}.values())

    def all(self) -> Iterator[tuple[int, Seen]]:
        """Every observation with the pts of its frame."""
        for pts, here in self._by_pts.items():
            for seen in here:
                yield pts, seen

    @property
    def step_s(self) -> float:
        """The usual time from one observation of a face to the next; 0 where no face was seen twice."""
        times: dict[TrackId, list[float]] = {}
        for _, seen in self.all():
            times.setdefault(seen.track, []).append(seen.media_time_s)
        steps = [np.diff(np.sort(of_one)) for of_one in times.values() if len(of_one) > 1]
        return float(np.median(np.concatenate(steps))) if steps else 0.0


def recording_of(
    bus: Bus, source: Source, session: str, *, prefix: str = "affect", run: str | None = None, stream: str | None = None
) -> Recording:
    """What the bus holds of the file with this `session`: of the newest run that is done, or else the newest.

    `run` and `stream` narrow the choice. Raises `UsageError` where the file was never analysed on this bus, or only in
    a way that cannot be drawn.
    """
    records = run_records(bus, prefix)
    known = [choice for choice in _choices(records, session) if _fits(choice, run, stream)]
    if known:
        return _read(bus, prefix, session, known, max(known, key=_rank))
    # Whoever analysed it may have died before it wrote of the run.
    told = {(one.run, one.stream): None for one in _observations(bus, prefix, session)}
    unrecorded = [
        choice for choice in (RunChoice(*names, "unrecorded") for names in told) if _fits(choice, run, stream)
    ]
    if not unrecorded:
        raise UsageError(_why_none(records, source, session, run, stream))
    return _read(bus, prefix, session, unrecorded, unrecorded[-1])


def _read(bus: Bus, prefix: str, session: str, found: list[RunChoice], wanted: RunChoice) -> Recording:
    here = _observations(bus, prefix, session, runs={wanted.run}, streams={wanted.stream})
    return Recording(replace(wanted, others=len(found) - 1), here)


def _observations(
    bus: Bus,
    prefix: str,
    session: str,
    runs: Collection[str] | None = None,
    streams: Collection[str] | None = None,
) -> Iterator[Observation]:
    read = typed(drain(bus, [f"{prefix}.archive.observations"]), Observation, runs=runs, streams=streams)
    return (one for one in read if one.session == session)


def _choices(records: Iterable[RunRecord], session: str) -> Iterator[RunChoice]:
    for record in records:
        for result in record.sources:
            if result.session == session and result.mode == "archive":
                at_s = result.finished_s or result.started_s
                yield RunChoice(record.run, result.stream, result.state, at_s)


def _fits(choice: RunChoice, run: str | None, stream: str | None) -> bool:
    return run in (None, choice.run) and stream in (None, choice.stream)


def _rank(choice: RunChoice) -> tuple[int, float]:
    return _PREFERRED.index(choice.state), choice.at_s


def _why_none(records: list[RunRecord], source: Source, session: str, run: str | None, stream: str | None) -> str:
    """The sentence that says why nothing can be drawn, and what to do."""
    name = printable(source.name)
    if run is not None and run not in {record.run for record in records}:
        return f"run {printable(run)} is not on this bus; `streamer tail runs` lists those that are"
    of_file = list(_choices(records, session))
    if of_file:
        kind, given = ("stream", stream) if stream is not None else ("run", run)
        names = sorted({choice.stream if stream is not None else choice.run for choice in of_file})
        there = ", ".join(map(printable, names))
        return f"{kind} {printable(given or '')} is not of {name}: leave it out, or name {there}"
    named = [result for record in records for result in record.sources if result.source == source.name]
    if any(result.mode == "archive" for result in named):
        return f"{name} has changed since it was analysed: analyse it again with `streamer run`"
    if named:
        return f"{name} was watched live only, where frames may be left out: analyse it with --mode archive first"
    return f"{name} was never analysed on this bus: `streamer run` it first, or name the bus with --bus"


def _seen(o: Observation) -> Seen:
    left, top, width, height = o.box_xywh
    return Seen(
        TrackId(o.track.epoch, o.track.number),
        o.media_time_s,
        o.label if o.quality == "ok" else None,
        o.confidence,
        o.valence,
        o.arousal,
        o.va_origin,
        o.quality_causes,
        (left, top, width, height),
        o.detector_score * o.face_px,
    )
