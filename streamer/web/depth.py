"""One stream in depth: what is shown of it and of each of its faces, and what of that is new to a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamer.messages import Span, Track, Window
from streamer.web.deltas import Deltas
from streamer.web.model import Model
from streamer.web.overview import owner_of, row
from streamer.web.streams import StreamLife
from streamer.web.tracks import TrackLife
from streamer.wishes.views import settings_of

MAX_SHOWN = 8
"""Faces that a page shows at most, those that are there first."""


@dataclass(slots=True)
class _Seen:
    generation: int = 0
    n_added: int = 0
    last_step: int = -1
    windows: int = 0


@dataclass(slots=True)
class StreamPage:
    """What one page has been told of one stream."""

    stream: str
    _head: Deltas = field(default_factory=Deltas)
    _tracks: Deltas = field(default_factory=Deltas)
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def news(self, model: Model) -> dict[str, Any] | None:
        """What has changed: `head`, `tracks`, and by track the new `points` and `windows`; None: no such stream.

        A point is [index of the step, seven probabilities, valence, arousal, part of low quality]; the last one of a
        track is unfinished and comes again. A window is [number, from, to, seven minima, means and maxima, then those
        of valence and of arousal], times in seconds since 1970.
        """
        with model.lock:
            life = model.streams.get(self.stream)
            if life is None:
                return None
            now_s = model.clock.wall_s()
            tracks = life.shown_tracks()[:MAX_SHOWN]
            told: dict[str, Any] = {}
            told |= _under("head", self._head.of({"head": head(life, now_s, owner_of(model, self.stream))}))
            told |= _under("tracks", self._tracks.of({name_of(track): face(life, one) for track, one in tracks}))
            self._seen = {name_of(track): self._seen.get(name_of(track), _Seen()) for track, _ in tracks}
            told |= _under("points", {name: new for name, one in _named(tracks) if (new := self._points(name, one))})
            told |= _under("windows", {name: new for name, one in _named(tracks) if (new := self._windows(name, one))})
            if told:
                told["now_s"] = round(life.newest_s, 2)
            return told

    def _points(self, name: str, life: TrackLife) -> list[list[float]]:
        seen = self._seen[name]
        if seen.generation != life.series.generation:
            seen.generation, seen.last_step = life.series.generation, -1
        if life.series.n_added == seen.n_added:
            return []
        seen.n_added = life.series.n_added
        new = life.series.since(seen.last_step)
        seen.last_step = life.series.newest
        return [[index, *(round(value, 3) for value in values)] for index, values in new]

    def _windows(self, name: str, life: TrackLife) -> list[list[float]]:
        seen = self._seen[name]
        new = [_flat(*one) for one in life.windows if one[0] >= seen.windows]
        seen.windows = life.n_windows
        return new


def name_of(track: Track) -> str:
    """A track as pages call it."""
    return f"{track.epoch}.{track.number}"


def head(life: StreamLife, now_s: float, worker: str | None) -> dict[str, Any]:
    """What is shown above the faces: the row of the overview, counters and settings."""
    status = life.status
    shown = row(life, now_s, worker)
    shown |= {
        "decoded": status.decoded if status is not None else 0,
        "analysed": status.analysed if status is not None else 0,
        "records": status.records if status is not None else 0,
        "corrupt": status.corrupt_packets if status is not None else 0,
        "model": next((one.newest.model for one in life.tracks.values() if one.newest), None),
        "run": status.run if status is not None else None,
        "epoch": status.epoch if status is not None else None,
        "settings": settings_of(life.definition) if life.definition is not None else None,
    }
    return shown


def face(life: StreamLife, track: TrackLife) -> dict[str, Any]:
    """What is shown of a face now."""
    newest = track.newest
    assert newest is not None, "only observed tracks are shown"
    window = track.windows[-1][3] if track.windows else None
    return {
        "number": newest.track.number,
        "there": track.left is None and track.seen_s >= life.newest_s - 2.0,
        "left": None if track.left is None else track.left.replace("_", " "),
        "label": newest.label,
        "p": round(newest.confidence, 2),
        "quality": newest.quality,
        "causes": [cause.replace("_", " ") for cause in newest.quality_causes],
        "state": newest.state,
        "state_age_s": round(newest.state_age_s),
        "valence": round(newest.valence, 2),
        "arousal": round(newest.arousal, 2),
        "va_origin": newest.va_origin,
        "face_px": round(newest.face_px),
        "stat": None if window is None else _stat(window),
    }


def _stat(window: Window) -> dict[str, list[float]]:
    """Minimum, mean and maximum of the seven probabilities over the newest block."""
    return {
        name: [round(value, 3) for value in values]
        for name, values in (("min", window.probs.min), ("mean", window.probs.mean), ("max", window.probs.max))
    }


def _flat(number: int, from_s: float, to_s: float, window: Window) -> list[float]:
    probs = (window.probs.min, window.probs.mean, window.probs.max)
    values = [value for part in probs for value in part] + _spans(window.valence, window.arousal)
    return [number, round(from_s, 2), round(to_s, 2), *(round(value, 3) for value in values)]


def _spans(*spans: Span) -> list[float]:
    return [value for span in spans for value in (span.min, span.mean, span.max)]


def _named(tracks: list[tuple[Track, TrackLife]]) -> list[tuple[str, TrackLife]]:
    return [(name_of(track), life) for track, life in tracks]


def _under(key: str, what: dict[str, Any]) -> dict[str, Any]:
    return {key: what} if what else {}
