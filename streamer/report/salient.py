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

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamer.report import decimate
from streamer.report.series import UNLABELLED, TrackKey, TrackSeries

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
        found["change"] += changes(track)
        found["turn"] += turns(track)
        found["hold"] += holds(track)
    longest: dict[int, Moment] = {}
    for moment in strongest(found["hold"]):
        longest.setdefault(moment.after, moment)
    found["hold"] = list(longest.values())
    return {kind: strongest(moments)[:per_kind] for kind, moments in found.items()}


def strongest(moments: Iterable[Moment]) -> list[Moment]:
    """All of `moments`, strongest first."""
    return sorted(moments, key=lambda m: (-m.strength, m.at_s, m.key))


def changes(track: TrackSeries) -> list[Moment]:
    """Every change of at least `MIN_CHANGE`, strongest first."""
    good = track.trusted
    t_s = track.t_s[good]
    va = np.stack([track.valence[good], track.arousal[good]], axis=1).astype(np.float64)
    labels = track.labels[good]
    found: list[Moment] = []
    for piece in decimate.pieces(t_s, track.gap_s):
        found += _changes(track.key, t_s[piece], va[piece], labels[piece])
    kept: list[Moment] = []
    for moment in strongest(found):
        if all(abs(moment.at_s - other.at_s) >= APART_S for other in kept):
            kept.append(moment)
    return kept


def turns(track: TrackSeries) -> list[Moment]:
    """Every turn of at least `MIN_TURN_CONFIDENCE`, strongest first."""
    stretches = decimate.intervals(track.t_s, track.labels, track.step_s, track.gap_s)
    found: list[Moment] = []
    for old, new in pairwise(stretches):
        if UNLABELLED in (old.code, new.code) or old.end_s != new.start_s:
            continue
        if min(old.end_s - old.start_s, new.end_s - new.start_s) < MIN_TURN_S - _SLACK_S:
            continue
        before = _mean(track, max(old.start_s, old.end_s - SIDE_S), old.end_s)
        after = _mean(track, new.start_s, min(new.end_s, new.start_s + SIDE_S))
        strength = round(min(before, after), 6)
        if strength >= MIN_TURN_CONFIDENCE:
            found.append(Moment("turn", track.key, new.start_s, new.start_s, strength, old.code, new.code))
    return strongest(found)


def holds(track: TrackSeries) -> list[Moment]:
    """Every hold of at least `MIN_HOLD_S`, longest first."""
    stretches = decimate.intervals(track.t_s, track.labels, track.step_s, track.gap_s)
    return strongest(
        Moment("hold", track.key, i.start_s, i.end_s, round(i.end_s - i.start_s, 6), i.code, i.code)
        for i in stretches
        if i.code != UNLABELLED and i.end_s - i.start_s >= MIN_HOLD_S - _SLACK_S
    )


def _changes(
    key: TrackKey, t_s: NDArray[np.float64], va: NDArray[np.float64], labels: NDArray[np.int8]
) -> list[Moment]:
    """The changes of one unbroken stretch, local maxima only; k is the last observation before one."""
    if t_s.size < 2 * _MIN_SIDE:
        return []
    k = np.arange(t_s.size - 1)
    low = np.searchsorted(t_s, t_s[:-1] - SIDE_S + _SLACK_S)
    high = np.searchsorted(t_s, t_s[1:] + SIDE_S - _SLACK_S)
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(va, axis=0)])
    n_before, n_after = k + 1 - low, high - k - 1
    moved = (sums[high] - sums[k + 1]) / n_after[:, None] - (sums[k + 1] - sums[low]) / n_before[:, None]
    strength = np.round(np.hypot(moved[:, 0], moved[:, 1]), 6)
    covered = np.minimum(t_s[:-1] - t_s[low], t_s[high - 1] - t_s[1:]) >= SIDE_S / 2 - _SLACK_S
    fits = covered & (np.minimum(n_before, n_after) >= _MIN_SIDE) & (strength >= MIN_CHANGE)
    strength = np.where(fits, strength, 0.0)
    peak = fits & (strength >= np.append(strength[1:], 0.0)) & (strength > np.append(0.0, strength[:-1]))
    found: list[Moment] = []
    for j in np.flatnonzero(peak).tolist():
        at_s = float(t_s[j + 1])
        before, after = _usual(labels[low[j] : j + 1]), _usual(labels[j + 1 : high[j]])
        v, a = round(float(moved[j, 0]), 6), round(float(moved[j, 1]), 6)
        found.append(Moment("change", key, at_s, at_s, float(strength[j]), before, after, v, a))
    return found


def _usual(labels: NDArray[np.int8]) -> int:
    """The most frequent label, of equals the first of the seven; UNLABELLED where there is none."""
    known = labels[labels >= 0]
    return int(np.bincount(known).argmax()) if known.size else UNLABELLED


def _mean(track: TrackSeries, start_s: float, end_s: float) -> float:
    """Mean confidence from `start_s` to just before `end_s`."""
    a, b = np.searchsorted(track.t_s, (start_s - _SLACK_S, end_s - _SLACK_S))
    return float(track.confidence[a:b].mean(dtype=np.float64)) if b > a else 0.0
