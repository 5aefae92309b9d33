"""Series whose answers are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamer.report.series import TrackKey, TrackSeries
from streamer.types import EXPRESSIONS

RATE = 10.0


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
