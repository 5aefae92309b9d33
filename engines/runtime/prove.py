"""The batch proof for a model of the zoo, as `models verify --batches` runs it."""

from __future__ import annotations

from pathlib import Path

from engines.runtime import InvarianceReport, open_runner, prove_batch_invariance
from engines.runtime.invariance import random_pictures
from engines.zoo import LoadedModel

DETECTOR_SIZE_WH = (320, 192)


def prove_model(
    model: LoadedModel, *, input_size_wh: tuple[int, int] | None = None, cache: Path | None = None
) -> InvarianceReport:
    """Open the model as a worker would and compare rows alone with rows in company.

    The runner already uses only batch sizes that it proved when it was first opened on this machine; this proves the
    whole of it again, cutting and padding included. Detectors are opened at 320x192 unless told otherwise.
    """
    crop = model.spec.crop
    width, height = (crop.width, crop.height) if crop else input_size_wh or DETECTOR_SIZE_WH
    runner = open_runner(model, input_size_wh=(width, height), cache=cache)
    try:
        return prove_batch_invariance(runner, lambda n: {"image": random_pictures(n, height, width)})
    finally:
        runner.close()
