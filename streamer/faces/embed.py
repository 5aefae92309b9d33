"""Crops to embeddings: features, calibrated probabilities in our order, valence and arousal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.protocol import Runner
from engines.spec import EXPRESSIONS, ModelSpec
from streamer.errors import ModelError
from streamer.types import DropCause, Embedding, FloatArray, UInt8Array


@dataclass(frozen=True, slots=True)
class Embedded:
    """Per crop its embedding, or None and a cause."""

    embeddings: list[Embedding | None]
    causes: list[DropCause | None]

    @property
    def dropped(self) -> dict[DropCause, int]:
        """How many crops were dropped, by cause."""
        return dict(Counter(cause for cause in self.causes if cause is not None))


def expression_columns(class_order: tuple[str, ...]) -> NDArray[np.intp]:
    """Which column of the network's output holds each of EXPRESSIONS; `ModelError` when one is missing or twice."""
    for name in EXPRESSIONS:
        if class_order.count(name) != 1:
            raise ModelError(f"the model's class order must name {name} exactly once, it is {', '.join(class_order)}")
    return np.array([class_order.index(name) for name in EXPRESSIONS], dtype=np.intp)


def probabilities(logits: FloatArray, columns: NDArray[np.intp], temperature: float) -> FloatArray:
    """Softmax of logits (B,C) over the seven expressions (B,7) at the given temperature.

    Leaving a class out of the softmax is the same as dropping it afterwards and renormalising. Computed in float64
    and column by column, so that a row never depends on its neighbours, then rounded to float32.
    """
    kept = logits[:, columns].astype(np.float64) / temperature
    powers = np.exp(kept - kept.max(axis=1, keepdims=True))
    total = powers[:, 0].copy()
    for column in range(1, powers.shape[1]):
        total += powers[:, column]
    shares: FloatArray = (powers / total[:, None]).astype(np.float32)
    return shares


class Embedder:
    """The expression network of `spec` behind `runner`. Owned by one thread, as its runner is."""

    def __init__(self, runner: Runner, spec: ModelSpec) -> None:
        if not spec.calibration.temperature > 0:
            raise ModelError(f"the temperature of {spec.name} must be above 0, not {spec.calibration.temperature}")
        self.spec = spec
        self._runner = runner
        self._columns = expression_columns(spec.class_order)

    def embed(self, crops: UInt8Array) -> Embedded:
        """What the network says of crops (N,H,W,3), in the colour order of its spec.

        A row is bit-equal whatever its neighbours, as far as the engine's own outputs are. When the engine fails, or
        a row is not finite, those crops are tried once more alone; what fails then is None with its cause.
        Nothing returned points into the runner's buffers.
        """
        results: list[Embedding | DropCause] = []
        if len(crops):
            results = self._infer(crops)
            if len(crops) > 1:
                for row, result in enumerate(results):
                    if isinstance(result, str):
                        (results[row],) = self._infer(crops[row : row + 1])
        return Embedded(
            [None if isinstance(result, str) else result for result in results],
            [result if isinstance(result, str) else None for result in results],
        )

    def close(self) -> None:
        """Frees the engine."""
        self._runner.close()

    def _infer(self, crops: UInt8Array) -> list[Embedding | DropCause]:
        try:
            outputs = self._runner.infer({"image": crops})
        except EngineError:
            return ["engine_error"] * len(crops)
        return self._read(outputs, len(crops))

    def _read(self, outputs: Mapping[str, FloatArray], n: int) -> list[Embedding | DropCause]:
        features, logits = outputs["features"], outputs["logits"]
        valence, arousal = outputs.get("valence"), outputs.get("arousal")
        finite = np.asarray(np.isfinite(features).all(axis=1) & np.isfinite(logits).all(axis=1))
        for one in (valence, arousal):
            if one is not None:
                finite &= np.isfinite(one.reshape(n))
        probs = probabilities(np.where(finite[:, None], logits, 0), self._columns, self.spec.calibration.temperature)
        return [
            Embedding(
                np.array(features[row], np.float32),  # a copy: the buffer is the runner's
                probs[row].copy(),
                _within(valence, row),
                _within(arousal, row),
            )
            if finite[row]
            else "not_finite"
            for row in range(n)
        ]


def _within(values: FloatArray | None, row: int) -> float | None:
    """The row's value cut to [-1, 1], where the network has one."""
    return None if values is None else min(1.0, max(-1.0, float(values.reshape(-1)[row])))
