"""What the page says in words and numbers: facts about sources and tracks, ready to be printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.messages import RunRecord, SourceResult, TrackEvent
from streamer.report.series import TrackKey, TrackSeries, shares
from streamer.report.timescale import clock
from streamer.types import EXPRESSIONS


@dataclass(frozen=True, slots=True)
class Share:
    """One expression's part of the observations; `name` is one of EXPRESSIONS or `no label`."""

    name: str
    fraction: float


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """One track in numbers. Means and deviations leave low quality out, unless there is nothing else."""

    key: TrackKey
    from_s: float
    to_s: float
    n_observations: int
    low_fraction: float
    label: str | None
    shares: tuple[Share, ...]
    valence: float
    arousal: float
    valence_sd: float
    arousal_sd: float
    confidence: float
    va_origin: str
    left_because: str | None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One source of one run. `result` is None when the run record does not (yet) speak of it."""

    run: str
    stream: str
    result: SourceResult | None
    tracks: tuple[TrackSeries, ...]
    shares: tuple[Share, ...]
    n_observations: int
    end_s: float

    @property
    def speed(self) -> float | None:
        """Seconds of video read per second of wall time; None while unknown."""
        r = self.result
        if r is None or r.finished_s is None or r.finished_s <= r.started_s or r.duration_s <= 0:
            return None
        return r.duration_s / (r.finished_s - r.started_s)


def sources(runs: Sequence[RunRecord], series: Mapping[TrackKey, TrackSeries]) -> list[SourceFacts]:
    """Every source of the runs in their order, then those only observations tell of; a stream's runs lie together."""
    results: dict[tuple[str, str], SourceResult | None] = {}
    results.update({(run.run, result.stream): result for run in runs for result in run.sources})
    by_source: dict[tuple[str, str], list[TrackSeries]] = {}
    for key, track in series.items():
        results.setdefault((key.run, key.stream), None)
        by_source.setdefault((key.run, key.stream), []).append(track)
    place = {stream: k for k, (_, stream) in reversed(list(enumerate(results)))}
    found = []
    for (run_id, stream), result in sorted(results.items(), key=lambda item: place[item[0][1]]):
        ordered = tuple(sorted(by_source.get((run_id, stream), ()), key=lambda s: (float(s.t_s[0]), s.key)))
        labels = np.concatenate([s.labels for s in ordered]) if ordered else np.zeros(0, np.int8)
        last_s = max((float(s.t_s[-1]) + s.step_s for s in ordered), default=0.0)
        found.append(
            SourceFacts(
                run=run_id,
                stream=stream,
                result=result,
                tracks=ordered,
                shares=_named(shares(labels)),
                n_observations=sum(s.n for s in ordered),
                end_s=max(last_s, result.duration_s if result is not None else 0.0),
            )
        )
    return found


def track_facts(track: TrackSeries, events: Iterable[TrackEvent] = ()) -> TrackFacts:
    """The numbers of one track; of `events` the one that says why it left, if there is one."""
    good = track.trusted
    parts = shares(track.labels)
    best = int(np.argmax(parts[: len(EXPRESSIONS)]))
    return TrackFacts(
        key=track.key,
        from_s=float(track.t_s[0]),
        to_s=float(track.t_s[-1]) + track.step_s,
        n_observations=track.n,
        low_fraction=float(track.low.mean()),
        label=EXPRESSIONS[best] if parts[best] > 0 else None,
        shares=_named(parts),
        valence=float(track.valence[good].mean()),
        arousal=float(track.arousal[good].mean()),
        valence_sd=float(track.valence[good].std()),
        arousal_sd=float(track.arousal[good].std()),
        confidence=float(track.confidence[good].mean()),
        va_origin=track.va_origin,
        left_because=next((e.cause for e in events if e.event == "left" and e.cause), None),
    )


def headline(found: Sequence[SourceFacts]) -> str:
    """The page's first sentence."""
    n_tracks = sum(len(source.tracks) for source in found)
    n_sources = len(found)
    where = "one source" if n_sources == 1 else f"{_count(n_sources)} sources"
    if n_sources == 0:
        return "Nothing was read."
    if n_tracks == 0:
        return f"No faces were found in {where}."
    return f"{_count(n_tracks).capitalize()} face {'track' if n_tracks == 1 else 'tracks'} in {where}."


def subline(found: Sequence[SourceFacts]) -> str:
    """The sentence below it: how much video, how fast, what was lost."""
    video_s = sum(source.end_s for source in found)
    parts = [f"{sum(s.n_observations for s in found):,} observations from {clock(video_s)} of video"]
    timed = [s.result for s in found if s.speed is not None and s.result is not None]
    if timed:
        begun = min(r.started_s for r in timed)
        ended = max(r.finished_s or r.started_s for r in timed)
        ratio = sum(r.duration_s for r in timed) / max(ended - begun, 1e-9)
        parts.append(f"read in {clock(ended - begun)}, {times(ratio)} real time")
    results = [s.result for s in found if s.result is not None]
    if results:
        dropped = sum(n for r in results for n in r.dropped.values())
        parts.append(f"{dropped:,} dropped" if dropped else "nothing dropped")
    failed = sum(1 for r in results if r.state == "failed")
    if failed:
        parts.append(f"{failed} of {len(found)} sources failed")
    return "; ".join(parts) + "."


def times(ratio: float) -> str:
    """A speed against real time, to two digits or so."""
    return f"{ratio:.2f}×" if ratio < 1 else f"{ratio:.1f}×" if ratio < 100 else f"{ratio:.0f}×"


def _named(parts: Sequence[float]) -> tuple[Share, ...]:
    return tuple(Share(n, f) for n, f in zip((*EXPRESSIONS, "no label"), parts, strict=True) if f > 0)


def _count(n: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return words[n] if n < len(words) else f"{n:,}"
