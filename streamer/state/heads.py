"""Temporal heads: what turns a track's recent past into the answer for its current frame.

Heads keep nothing between calls: the block, STAT, context and (h, c) of every track come in with the batch and (h, c)
goes out with the answer, so rows of different tracks and streams share one batch in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engines.runtime.protocol import InputArray, Runner
from engines.spec import N_PROBS, HeadSpec, stat_size
from streamer.errors import ModelError
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput, infer_all
from streamer.types import FloatArray


class TemporalHead(Protocol):
    """A head as the pipeline uses it. Owned by one thread."""

    @property
    def spec(self) -> HeadSpec | None:
        """The trained head's description; None for a head that is no network."""

    @property
    def needs(self) -> HeadNeeds:
        """What the actors must remember for it."""

    def infer(self, batch: HeadBatch) -> HeadOutput:
        """The answers for a batch; a row's answer does not depend on the others.

        Raises `EngineError` when the engine fails and `ModelError` when head and backbone do not fit together. NaN
        is passed on: `infer_all` deals with it.
        """

    def infer_all(self, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
        """The answers for each batch, from one inference over all of them.

        A row that fails, or whose answer is not finite, is tried once more alone; if it fails again its cause is in
        `causes` and the rest is unaffected.
        """


@dataclass(frozen=True, slots=True)
class PassthroughHead:
    """`none`: the backbone's own probabilities are the answer."""

    spec: None = None

    @property
    def needs(self) -> HeadNeeds:
        return HeadNeeds()

    def infer(self, batch: HeadBatch) -> HeadOutput:
        return HeadOutput(batch.probs)

    def infer_all(self, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
        return [HeadOutput(batch.probs) for batch in batches]


@dataclass(frozen=True, slots=True)
class MeanHead:
    """`mean`: the mean of the block's probabilities is the answer; `window` None means the configured one."""

    window: int | None = None
    spec: None = None

    @property
    def needs(self) -> HeadNeeds:
        return HeadNeeds("probs", window=self.window)

    def infer(self, batch: HeadBatch) -> HeadOutput:
        assert batch.stat is not None, "the actors were not told what this head needs"
        return HeadOutput(batch.stat[:, 2 * N_PROBS :])

    def infer_all(self, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
        return [self.infer(batch) for batch in batches]


class EngineHead:
    """A trained head in an engine, as its HeadSpec describes it."""

    def __init__(self, runner: Runner, spec: HeadSpec) -> None:
        self._runner = runner
        self.spec = spec
        self.needs = HeadNeeds.of(spec)

    def infer(self, batch: HeadBatch) -> HeadOutput:
        out = self._runner.infer(_inputs(batch, self.spec))
        n, hidden = len(batch), self.spec.hidden
        return HeadOutput(
            _taken(out, "probs", (n, N_PROBS), self.spec),
            _taken(out, "valence", (n,), self.spec) if "valence" in out else None,
            _taken(out, "arousal", (n,), self.spec) if "arousal" in out else None,
            _taken(out, "h", (n, hidden), self.spec) if hidden else None,
            _taken(out, "c", (n, hidden), self.spec) if hidden else None,
        )

    def infer_all(self, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
        return infer_all(self.infer, batches)


def _inputs(batch: HeadBatch, spec: HeadSpec) -> dict[str, InputArray]:
    wanted: dict[str, tuple[FloatArray | None, tuple[int, ...]]] = {"probs": (batch.probs, (N_PROBS,))}
    if spec.n_features:
        wanted["features"] = (batch.features, (spec.n_features,))
    if spec.stat != "none":
        wanted["stat"] = (batch.stat, (stat_size(spec.stat, spec.n_features),))
    if spec.windowed:
        wanted["block"] = (batch.block, (spec.window, N_PROBS))
    if spec.context:
        wanted["context"] = (batch.context, (len(spec.context),))
    if spec.hidden:
        wanted["h"] = (batch.h, (spec.hidden,))
        wanted["c"] = (batch.c, (spec.hidden,))
    inputs: dict[str, InputArray] = {}
    for name, (array, shape) in wanted.items():
        if array is None or array.shape[1:] != shape:
            has = "nothing" if array is None else f"rows of {array.shape[1:]}"
            raise ModelError(f"head {spec.model_id} reads `{name}` of {shape} and was given {has}: wrong backbone?")
        inputs[name] = array
    return inputs


def _taken(out: dict[str, FloatArray], name: str, shape: tuple[int, ...], spec: HeadSpec) -> FloatArray:
    """A copy of one output (the runner's own buffer is good until its next call only), its shape checked."""
    array = out.get(name)
    if array is None or array.shape != shape:
        has = "none" if array is None else str(array.shape)
        raise ModelError(f"head {spec.model_id} must answer `{name}` of {shape}, not {has}: export it again")
    return np.array(array, np.float32)
