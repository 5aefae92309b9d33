"""Runners: one compiled model each, behind one small protocol.

Importing this package loads no engine; opening a runner does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.runtime.invariance import InvarianceReport, prove_batch_invariance
from engines.runtime.protocol import Runner
from engines.spec import HeadSpec
from engines.zoo import LoadedModel

__all__ = ["HEAD_BATCHES", "InvarianceReport", "Runner", "open_head", "open_runner", "prove_batch_invariance"]

HEAD_BATCHES = (1, 2, 4, 8, 16)


def open_runner(
    model: LoadedModel,
    *,
    precision: str = "auto",
    input_size_wh: tuple[int, int] | None = None,
    cache: Path | None = None,
) -> Runner:
    """A runner for an image model of the zoo, on the CPU with one thread.

    `input_size_wh` in pixels is needed for detectors and must be a multiple of the spec's `input_multiple`; expression
    models have the size of their crop. `cache` is the zoo's cache folder (found as the zoo finds it when None);
    what is compiled is kept there. Raises `EngineError` for a precision this CPU has not got, a wrong size, or a file
    the engine refuses.
    """
    from engines.runtime.openvino import open_image_model

    return open_image_model(model.spec, model.path, precision=precision, input_size_wh=input_size_wh, cache=cache)


def open_head(
    path: Path,
    spec: HeadSpec,
    *,
    precision: str = "auto",
    batches: Sequence[int] = HEAD_BATCHES,
    cache: Path | None = None,
) -> Runner:
    """A runner for a temporal head: float32 inputs and outputs by the names `HeadSpec` gives. Errors as above.

    ONNX wants every tensor's name once, so in the file an output that is called like an input ends in `_out`
    (`probs_out`, `h_out`, `c_out`); the runner answers without it.
    """
    from engines.runtime.openvino import open_temporal_head

    return open_temporal_head(spec, path, precision=precision, batches=tuple(batches), cache=cache)
