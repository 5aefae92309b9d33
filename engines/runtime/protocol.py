"""The contract every runner keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
InputArray = NDArray[np.float32] | NDArray[np.uint8]


class Runner(Protocol):
    """A compiled model, owned by one thread.

    Called by one thread at a time. Batches of any size are taken: the runner pads to the next prepared size,
    cuts larger batches into pieces, and never compiles inside `infer`.
    """

    @property
    def precision(self) -> str:
        """The precision that is really in use: `fp32`, `bf16`, `fp16` or `int8`."""

    @property
    def device(self) -> str:
        """Which device runs it, as the engine names it."""

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        """Outputs by name, first axis as long as the inputs'; valid until the next call on this runner.

        An image model has one input, `image`: (B,H,W,3) uint8 in the colour order of its ModelSpec. The runner
        normalises and lays it out inside the engine, so that nothing is copied to float on the way.
        An expression model answers `features` (B,D) and `logits` (B,C), and `valence`, `arousal` (B,) when it has
        them; a detector answers its own maps; a head answers as HeadSpec says.

        Raises `EngineError` when the engine refuses or fails. NaN in an output is not an error here.
        """

    def close(self) -> None:
        """Frees the engine; further calls to `infer` raise."""
