"""Observations gathered into stretches of time in which a face keeps its label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from streamer.messages import Observation, Track

_DEFAULT_STEP_S = 0.04
_LEAST_GAP_S = 0.5


@dataclass(frozen=True, slots=True)
class Stretch:
    """One face with one label from `start_s` to `end_s` of media time."""

    track: Track
    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """`step_s`: the usual time from one observation to the next; after more than `gap_s` the face was away."""

    step_s: float

    @property
    def gap_s(self) -> float:
        """Four steps, and half a second at least."""
        return max(_LEAST_GAP_S, 4 * self.step_s)

    def end_s(self, time_s: float, next_s: float | None) -> float:
        """Until when what was seen at `time_s` holds: to the next sight of it, or for one step."""
        return next_s if next_s is not None and next_s - time_s <= self.gap_s else time_s + self.step_s


def pace_of(observations: Iterable[Observation]) -> Pace:
    """The pace of some observations, in the order of time."""
    times = dict.fromkeys(o.media_time_s for o in observations)
    steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    return Pace(median(steps) if steps else _DEFAULT_STEP_S)


def face_name(track: Track) -> str:
    """`Face 3`; in a live stream `Face 12/3`, with the epoch in which its number is unique."""
    return f"Face {track.epoch}/{track.number}" if track.epoch else f"Face {track.number}"


@dataclass(slots=True)
class _Held:
    label: str | None
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(slots=True)
class _Life:
    """A living track: the label it shows now, since when, and the stretch before that, which may yet grow."""

    track: Track
    label: str | None
    start_s: float
    last_s: float
    held: _Held | None = None


@dataclass(slots=True)
class Stretches:
    """Stretches of all faces of one video, given in the order they end; memory holds living tracks alone.

    A label that holds for less than `hold_s` is taken for flicker and goes to the longer one beside it. Low quality,
    where there is no label, is a label of its own in this and gives no stretch.
    """

    pace: Pace
    hold_s: float = 0.0
    _lives: dict[tuple[int, int], _Life] = field(default_factory=dict)
    _swept_s: float = 0.0

    def of(self, observations: Iterable[Observation]) -> Iterator[Stretch]:
        """The stretches of these observations, which come in the order of time."""
        for o in observations:
            yield from self._take(o)
        for life in list(self._lives.values()):
            yield from self._over(life)

    def _take(self, o: Observation) -> Iterator[Stretch]:
        time_s, key = o.media_time_s, (o.track.epoch, o.track.number)
        if time_s - self._swept_s > self.pace.gap_s:
            self._swept_s = time_s
            for life in [life for life in self._lives.values() if time_s - life.last_s > self.pace.gap_s]:
                yield from self._over(life)
        found = self._lives.get(key)
        if found is not None and time_s - found.last_s > self.pace.gap_s:
            yield from self._over(found)
            found = None
        if found is None:
            self._lives[key] = _Life(o.track, o.label, time_s, time_s)
            return
        if found.label != o.label:
            yield from self._settle(found, time_s)
            found.label, found.start_s = o.label, time_s
        found.last_s = time_s

    def _over(self, life: _Life) -> Iterator[Stretch]:
        del self._lives[life.track.epoch, life.track.number]
        yield from self._settle(life, life.last_s + self.pace.step_s)
        if life.held is not None:
            yield from _told(life.track, life.held)

    def _settle(self, life: _Life, end_s: float) -> Iterator[Stretch]:
        """The present label is over: it joins the stretch before, or that is told and this one held."""
        new, held = _Held(life.label, life.start_s, end_s), life.held
        if held is None:
            life.held = new
        elif held.label == new.label or min(held.length_s, new.length_s) < self.hold_s:
            longer = held if held.length_s >= new.length_s else new
            life.held = _Held(longer.label, held.start_s, new.end_s)
        else:
            yield from _told(life.track, held)
            life.held = new


def _told(track: Track, held: _Held) -> Iterator[Stretch]:
    if held.label is not None:
        yield Stretch(track, held.label, held.start_s, held.end_s)
