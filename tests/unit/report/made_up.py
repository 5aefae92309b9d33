"""Series whose answers are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamer.messages import RunRecord, SourceResult
from streamer.report.series import TrackKey, TrackSeries
from streamer.types import EXPRESSIONS

RATE = 10.0
HOUR = 7_200
"""Observations at two a second."""


def series(
    n: int = 100,
    *,
    number: int = 1,
    run: str = "r",
    stream: str = "s",
    start_s: float = 0.0,
    rate: float = RATE,
    valence: Sequence[float] | np.ndarray | float = 0.0,
    arousal: Sequence[float] | np.ndarray | float = 0.0,
    labels: Sequence[int] | np.ndarray | int = 0,
    confidence: Sequence[float] | np.ndarray | float = 0.9,
    low: Sequence[bool] | np.ndarray | bool = False,
    box: tuple[float, float, float, float] = (0.2, 0.2, 0.1, 0.1),
) -> TrackSeries:
    """`n` observations, `rate` a second; whatever is one number holds for all."""
    held = np.broadcast_to(np.asarray(labels, np.int8), n)
    sure = np.broadcast_to(np.asarray(confidence, np.float32), n)
    probs = np.repeat((1 - sure[:, None]) / 6, len(EXPRESSIONS), axis=1)
    probs[np.arange(n), np.clip(held, 0, 6)] = sure
    return TrackSeries(
        key=TrackKey(run, stream, 0, number),
        va_origin="predicted",
        t_s=start_s + np.arange(n) / rate,
        probs=probs.astype(np.float32),
        valence=np.broadcast_to(np.asarray(valence, np.float32), n),
        arousal=np.broadcast_to(np.asarray(arousal, np.float32), n),
        confidence=sure,
        boxes_xywh=np.broadcast_to(np.asarray(box, np.float32), (n, 4)),
        labels=held,
        low=np.broadcast_to(np.asarray(low, np.bool_), n),
        step_s=1 / rate,
    )


def steps(*parts: tuple[int, float]) -> np.ndarray:
    """Each value as often as it is asked for: `(count, value)` after `(count, value)`."""
    return np.concatenate([np.full(count, value) for count, value in parts])


def restless(n: int) -> TrackSeries:
    """A face that never rests: as many intervals, extremes and moments as can be."""
    random = np.random.default_rng(11)
    labels = np.repeat(random.integers(-1, 7, n // 8 + 1), 8)[:n]
    valence, arousal = np.clip(random.normal(0, 0.5, (2, n)), -0.98765, 0.98765)
    return series(n, rate=2.0, valence=valence, arousal=arousal, labels=labels, confidence=random.uniform(0.3, 0.99, n))


def many(n_files: int, n_tracks: int, n: int, ways: int = 1) -> tuple[list[RunRecord], dict[TrackKey, TrackSeries]]:
    """Runs of `n_files` files with `n_tracks` faces each, analysed in `ways` ways."""
    template = restless(n)
    runs, found = [], {}
    for way in range(ways):
        for k in range(n_files):
            name, run = f"camera {k:03} of the long hall.mp4", f"r-{way}-{k:03}"
            result = SourceResult(
                stream=name, source=name, state="done", mode="archive", session=f"sha-{k}", duration_s=n / 2
            )
            runs.append(
                RunRecord(
                    run=run, state="done", started_s=1.0, models={"expression": f"net-{way}@1"}, sources=(result,)
                )
            )
            for number in range(n_tracks):
                key = TrackKey(run, name, 0, number)
                found[key] = replace(template, key=key)
    return runs, found
