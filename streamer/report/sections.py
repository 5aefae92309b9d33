"""What the page says of one source: its tracks with their figures, and its moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamer.messages import TrackEvent, Window
from streamer.report import summary
from streamer.report.budget import MAX_SECTIONS, Budget
from streamer.report.circumplex import circumplex
from streamer.report.figures import Figure
from streamer.report.salient import Kind, Moment, salient, strongest
from streamer.report.series import UNLABELLED, TrackKey, TrackSeries
from streamer.report.strip import MAX_LANES, presence, track_id, track_name
from streamer.report.timeline import timeline
from streamer.types import EXPRESSIONS

Add = Callable[[Figure], dict[str, Any]]
Events = Mapping[TrackKey, Sequence[TrackEvent]]
Blocks = Mapping[TrackKey, Mapping[float, Window]]
TOP_MOMENTS = 5


@dataclass(frozen=True, slots=True)
class Jump:
    """A moment and where the page shows it."""

    moment: Moment
    source: str
    section: str
    track: str
    anchor: str
    before: str
    after: str

    @property
    def shown(self) -> tuple[str, ...]:
        """The expressions it has to do with."""
        return tuple(dict.fromkeys(name for name in (self.before, self.after) if name in EXPRESSIONS))


def section(
    number: int, source: summary.SourceFacts, budget: Budget, events: Events, blocks: Blocks, add: Add
) -> dict[str, Any]:
    """What the template needs of one source. `add` takes a figure and says where it stands on the page."""
    drawn = [track for track in source.tracks if track.key in budget.drawn]
    longest = {t.key for t in sorted(source.tracks, key=lambda t: -t.n)[:MAX_LANES]}
    lanes = [track for track in source.tracks if track.key in longest]
    told = sorted((t for t in source.tracks if t.key not in budget.drawn), key=lambda t: -t.n)[: budget.told]
    kept = {track.key for track in told}
    ident = f"source-{number}"
    return {
        "id": ident,
        "facts": source,
        "presence": add(presence(lanes, source.end_s, budget.intervals)) if lanes else None,
        "tracks": [_track(ident, track, budget, events, blocks, add) for track in drawn],
        "told": [
            {"name": track_name(t), "facts": summary.track_facts(t, events.get(t.key, ()))}
            for t in source.tracks
            if t.key in kept
        ],
        "n_told": len(source.tracks) - len(drawn),
        "shown": [share.name for share in source.shares],
        "moments": _jumps(ident, source.stream, drawn, budget.moments),
    }


def top_moments(sections: Sequence[Mapping[str, Any]]) -> dict[Kind, list[Jump]]:
    """The strongest moments of all sources by kind."""
    found: dict[Kind, list[Jump]] = {"change": [], "turn": [], "hold": []}
    for kind, best in found.items():
        jumps = {jump.moment: jump for part in sections for jump in part["moments"].get(kind, ())}
        best += [jumps[moment] for moment in strongest(jumps)[:TOP_MOMENTS]]
    return found


def sections_of(sources: Sequence[summary.SourceFacts]) -> Sequence[summary.SourceFacts]:
    """Those that have a section of their own."""
    return sources[:MAX_SECTIONS]


def _track(ident: str, track: TrackSeries, budget: Budget, events: Events, blocks: Blocks, add: Add) -> dict[str, Any]:
    windows = [blocks[track.key][t] for t in sorted(blocks.get(track.key, ()))]
    return {
        "id": _anchor(ident, track),
        "key": track_id(track),
        "name": track_name(track),
        "facts": summary.track_facts(track, events.get(track.key, ())),
        "timeline": add(timeline(track, windows, budget.points)),
        "circumplex": add(circumplex(track, budget.points)),
        "decimated": track.n > budget.points,
        "banded": bool(windows),
        "open": track.key in budget.open,
    }


def _jumps(ident: str, stream: str, tracks: Sequence[TrackSeries], per_kind: int) -> dict[Kind, list[Jump]]:
    by_key = {track.key: track for track in tracks}
    found = {}
    for kind, moments in salient(tracks, per_kind).items():
        found[kind] = [
            Jump(
                moment=m,
                source=stream,
                section=ident,
                track=track_name(by_key[m.key]),
                anchor=_anchor(ident, by_key[m.key]),
                before=_word(m.before),
                after=_word(m.after),
            )
            for m in moments
        ]
    return found


def _anchor(ident: str, track: TrackSeries) -> str:
    return f"{ident}-track-{track_id(track)}"


def _word(code: int) -> str:
    return "no label" if code == UNLABELLED else EXPRESSIONS[code]
