"""A runner that shows its network crops shifted sideways, as a wrong map from frame to crop would."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engines.runtime import Runner
from engines.runtime.protocol import FloatArray, InputArray


class Shifted:
    """Everything `n_px` to the right."""

    def __init__(self, runner: Runner, n_px: int) -> None:
        self._runner = runner
        self._n_px = n_px
        self.precision = runner.precision
        self.device = runner.device

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        image = np.asarray(inputs["image"])
        moved = np.concatenate([image[:, :, : self._n_px], image[:, :, : -self._n_px]], axis=2)
        return self._runner.infer({"image": np.ascontiguousarray(moved, np.uint8)})

    def close(self) -> None:
        self._runner.close()
