"""Salient moments of a track, found by rules that anybody can check: changes, turns and holds.

- A *change* is where the mean point of valence and arousal over the second after differs most from that over the
  second before; its strength is the distance of the two. Low quality counts for nothing. Both seconds must lie in one
  unbroken stretch, hold three observations and be covered by half. Of changes closer than two seconds the stronger
  one stands.
- A *turn* is where one label ended and another began at once, each held for half a second or more; its strength is
  the lesser of the mean confidences over the last second of the one and the first second of the other.
- A *hold* is an unbroken stretch of one label; its strength is its length in seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamer.report import decimate
from streamer.report.series import UNLABELLED, TrackKey, TrackSeries

Floats = NDArray[np.float64]
Kind = Literal["change", "turn", "hold"]

SIDE_S = 1.0
APART_S = 2.0
MIN_CHANGE = 0.2
MIN_TURN_S = 0.5
MIN_TURN_CONFIDENCE = 0.6
MIN_HOLD_S = 1.0
PER_KIND = 7
_MIN_SIDE = 3
_SLACK_S = 1e-6
"""Media times are rounded to microseconds."""


class Moment(NamedTuple):
    """A moment of one track, from `at_s` to `end_s` (the same, where it has no length).

    `before` and `after` are codes of labels (UNLABELLED where there was none); of a hold both are the label held.
    `valence` and `arousal` are how far these moved; zero for turns and holds.
    """

    kind: Kind
    key: TrackKey
    at_s: float
    end_s: float
    strength: float
    before: int
    after: int
    valence: float = 0.0
    arousal: float = 0.0


def salient(tracks: Iterable[TrackSeries], per_kind: int = PER_KIND) -> dict[Kind, list[Moment]]:
    """The strongest moments of some tracks by kind, at most `per_kind` each, strongest first.

    Of the holds it is the longest of each expression. Equal strengths come in order of time, then of track.
    """
    found: dict[Kind, list[Moment]] = {"change": [], "turn": [], "hold": []}
    for track in tracks:
        found["change"] += changes(track, per_kind)
        found["turn"] += turns(track)[:per_kind]
        found["hold"] += longest_of_each(holds(track))
    found["hold"] = longest_of_each(strongest(found["hold"]))
    return {kind: strongest(moments)[:per_kind] for kind, moments in found.items()}


def longest_of_each(moments: Iterable[Moment]) -> list[Moment]:
    """Of holds, longest first, the first of each label."""
    kept: dict[int, Moment] = {}
    for moment in moments:
        kept.setdefault(moment.after, moment)
    return list(kept.values())


def strongest(moments: Iterable[Moment]) -> list[Moment]:
    """All of `moments`, strongest first."""
    return sorted(moments, key=lambda m: (-m.strength, m.at_s, m.key))


def changes(track: TrackSeries, limit: int | None = None) -> list[Moment]:
    """The strongest changes of at least `MIN_CHANGE`, strongest first; all of them without a `limit`."""
    good = track.trusted
    t_s, labels = track.t_s[good], track.labels[good]
    va = np.stack([track.valence[good], track.arousal[good]], axis=1).astype(np.float64)
    peaks = np.concatenate([np.zeros((0, 6)), *(_peaks(t_s, va, part) for part in decimate.pieces(t_s, track.gap_s))])
    kept: list[Moment] = []
    times: list[float] = []
    for k in np.lexsort((peaks[:, 0], -peaks[:, 1])).tolist():
        at_s, strength, valence, arousal, *sides = peaks[k].tolist()
        place = bisect_left(times, at_s)
        if any(abs(at_s - other) < APART_S for other in times[max(0, place - 1) : place + 1]):
            continue
        times.insert(place, at_s)
        low, high = (int(side) for side in sides)
        middle = int(np.searchsorted(t_s, at_s))
        before, after = _usual(labels[low:middle]), _usual(labels[middle:high])
        kept.append(Moment("change", track.key, at_s, at_s, strength, before, after, valence, arousal))
        if len(kept) == limit:
            break
    return kept


def turns(track: TrackSeries) -> list[Moment]:
    """Every turn of at least `MIN_TURN_CONFIDENCE`, strongest first."""
    stretches = decimate.intervals(track.t_s, track.labels, track.step_s, track.gap_s)
    pairs = [
        (old, new)
        for old, new in pairwise(stretches)
        if UNLABELLED not in (old.code, new.code)
        and old.end_s == new.start_s
        and min(old.end_s - old.start_s, new.end_s - new.start_s) >= MIN_TURN_S - _SLACK_S
    ]
    if not pairs:
        return []
    sides = np.array([(max(o.start_s, o.end_s - SIDE_S), o.end_s, min(n.end_s, n.start_s + SIDE_S)) for o, n in pairs])
    start, middle, end = np.searchsorted(track.t_s, sides.T - _SLACK_S)
    sums = np.concatenate([np.zeros(1), np.cumsum(track.confidence, dtype=np.float64)])
    before = (sums[middle] - sums[start]) / np.maximum(middle - start, 1)
    after = (sums[end] - sums[middle]) / np.maximum(end - middle, 1)
    strength = np.round(np.minimum(before, after), 6).tolist()
    return strongest(
        Moment("turn", track.key, new.start_s, new.start_s, sure, old.code, new.code)
        for (old, new), sure in zip(pairs, strength, strict=True)
        if sure >= MIN_TURN_CONFIDENCE
    )


def holds(track: TrackSeries) -> list[Moment]:
    """Every hold of at least `MIN_HOLD_S`, longest first."""
    stretches = decimate.intervals(track.t_s, track.labels, track.step_s, track.gap_s)
    return strongest(
        Moment("hold", track.key, i.start_s, i.end_s, round(i.end_s - i.start_s, 6), i.code, i.code)
        for i in stretches
        if i.code != UNLABELLED and i.end_s - i.start_s >= MIN_HOLD_S - _SLACK_S
    )


def _peaks(t_s: Floats, va: Floats, part: slice) -> Floats:
    """Local maxima of change in one unbroken stretch.

    Rows (p,6): time of the first observation after, strength, how far valence and arousal moved, and from and up to
    which index the two sides reach.
    """
    t, first = t_s[part], part.start
    if t.size < 2 * _MIN_SIDE:
        return np.zeros((0, 6))
    k = np.arange(t.size - 1)  # the last observation before
    low = np.searchsorted(t, t[:-1] - SIDE_S + _SLACK_S)
    high = np.searchsorted(t, t[1:] + SIDE_S - _SLACK_S)
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(va[part], axis=0)])
    n_before, n_after = k + 1 - low, high - k - 1
    moved = (sums[high] - sums[k + 1]) / n_after[:, None] - (sums[k + 1] - sums[low]) / n_before[:, None]
    strength = np.round(np.hypot(moved[:, 0], moved[:, 1]), 6)
    covered = np.minimum(t[:-1] - t[low], t[high - 1] - t[1:]) >= SIDE_S / 2 - _SLACK_S
    fits = covered & (np.minimum(n_before, n_after) >= _MIN_SIDE) & (strength >= MIN_CHANGE)
    strength = np.where(fits, strength, 0.0)
    peak = fits & (strength >= np.append(strength[1:], 0.0)) & (strength > np.append(0.0, strength[:-1]))
    found: Floats = np.column_stack([t[1:], strength, np.round(moved, 6), low + first, high + first])[peak]
    return found


def _usual(labels: NDArray[np.int8]) -> int:
    """The most frequent label, of equals the first of the seven; UNLABELLED where there is none."""
    known = labels[labels >= 0]
    return int(np.bincount(known).argmax()) if known.size else UNLABELLED
