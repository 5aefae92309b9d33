"""Real tracks of the default network's answers: read from exported records, kept as a small file of numbers.

`residual_tracks.npz` and `splice_tracks.npz` in this package hold log-probs, times and poses of faces in public clips
and nothing that shows a face; no clip is in both. `engines temporal tracks` makes them. Less its own mean a track is
a residual track: how the answers to one face waver, with the correlation over time that real footage has. A change of
the true expression inside a track is then taken for noise too; that is so for a part of `carphone`, whose expressions
nobody labelled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import BadData
from engines.spec import EXPRESSIONS
from engines.temporal.sequences import CONTEXT, Floats, log_probs

RESIDUAL_TRACKS = Path(__file__).parent / "residual_tracks.npz"
SPLICE_TRACKS = Path(__file__).parent / "splice_tracks.npz"
FEWEST_OBSERVATIONS = 12
"""A shorter track says nothing of correlation."""


@dataclass(frozen=True)
class RealTrack:
    """One face in real footage: `times_s` (T,), `log_probs` (T,7), `context` (T,5) as heads are told."""

    name: str
    times_s: Floats
    log_probs: Floats
    context: Floats

    @property
    def rate_hz(self) -> float:
        """Observations a second, by the median distance."""
        return float(1.0 / np.median(np.diff(self.times_s)))


@dataclass(frozen=True)
class ResidualTracks:
    """The tracks that noise is taken from."""

    tracks: tuple[RealTrack, ...]

    def block(self, frames: int, rate_hz: float, rng: np.random.Generator) -> Floats:
        """(frames,7) of one track's residual at another rate: played from somewhere on, there and back, and scaled.

        Which expression is which is shuffled: the size and the correlation of the wavering are real, its direction
        is that of a handful of faces.
        """
        lengths = np.array([len(track.times_s) for track in self.tracks], np.float64)
        track = self.tracks[int(rng.choice(len(self.tracks), p=lengths / lengths.sum()))]
        residual = track.log_probs - track.log_probs.mean(0)
        last = len(residual) - 1
        place = rng.uniform(0, 2 * last) + np.arange(frames) * (track.rate_hz / rate_hz)
        place = last - np.abs(place % (2 * last) - last)  # there and back again
        below = np.minimum(place.astype(np.int64), last - 1)
        part = (place - below)[:, None]
        wavering = residual[below] * (1 - part) + residual[below + 1] * part
        scale = float(np.exp(rng.uniform(np.log(0.5), np.log(1.5))))
        return np.asarray(scale * wavering[:, rng.permutation(residual.shape[1])], np.float32)


def save_tracks(path: Path, tracks: list[RealTrack]) -> None:
    """Write tracks as one `.npz`; half precision, which is finer than their noise."""
    arrays = {}
    for i, track in enumerate(tracks):
        arrays[f"{i}/name"] = np.array(track.name)
        arrays[f"{i}/times_s"] = track.times_s.astype(np.float32)
        arrays[f"{i}/log_probs"] = track.log_probs.astype(np.float16)
        arrays[f"{i}/context"] = track.context.astype(np.float16)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_tracks(path: Path = RESIDUAL_TRACKS) -> tuple[RealTrack, ...]:
    """The tracks in a file that `save_tracks` wrote. Raises `BadData` when it is none."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            n = sum(name.endswith("/name") for name in kept)
            return tuple(
                RealTrack(
                    str(kept[f"{i}/name"]),
                    *(kept[f"{i}/{part}"].astype(np.float32) for part in ("times_s", "log_probs", "context")),
                )
                for i in range(n)
            )
    except (OSError, ValueError, KeyError) as error:
        raise BadData(f"{path} holds no tracks ({error}): write it again with `engines temporal tracks`") from error


def tracks_of_export(path: Path) -> list[RealTrack]:
    """The tracks in a JSON Lines file of `streamer export observations`, what the backbone alone said of them.

    Tracks of fewer than FEWEST_OBSERVATIONS are left out. Raises `BadData` when the file is no such export.
    """
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows.setdefault((row["stream"], row["track"]), []).append(row)
        return [
            _track(f"{stream}/{number}", sorted(seen, key=lambda row: float(row["media_time_s"])))
            for (stream, number), seen in sorted(rows.items())
            if len(seen) >= FEWEST_OBSERVATIONS
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path} is no export of observations ({error}): write it with `streamer export --format jsonl`"
        ) from error


def _track(name: str, rows: list[dict[str, Any]]) -> RealTrack:
    times_s = np.array([row["media_time_s"] for row in rows], np.float32)
    probs = np.array([[row[f"bare_p_{one.lower()}"] for one in EXPRESSIONS] for row in rows], np.float32)
    context = np.zeros((len(rows), len(CONTEXT)), np.float32)
    context[1:, 0] = np.diff(times_s)
    context[:, 1:] = [[row[column] for column in CONTEXT[1:]] for row in rows]
    return RealTrack(name, times_s, log_probs(probs), context)
