"""A head's ONNX in the product's own engine, over whole tracks: what is judged is what is shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engines.runtime import Runner, open_head
from engines.runtime.protocol import InputArray
from engines.spec import HeadSpec
from engines.temporal.sequences import CONTEXT, Floats, Sequences, stat_of

BATCHES = (1, 25, 100)


def open_for_tracks(path: Path, spec: HeadSpec, cache: Path | None = None) -> Runner:
    """The head at fp32, at batches as large as the judge's sets."""
    return open_head(path, spec, precision="fp32", batches=BATCHES, cache=cache)


def answers_with(runner: Runner, spec: HeadSpec) -> Callable[[Sequences], Floats]:
    """What the head says of tracks, (N,T,7), observation by observation with its state carried."""

    def answers(tracks: Sequences) -> Floats:
        n, steps = tracks.labels.shape
        told = np.ascontiguousarray(tracks.context[..., [CONTEXT.index(name) for name in spec.context]])
        stat = stat_of(tracks.probs, spec.window) if spec.stat == "probs" else None
        h = c = np.zeros((n, spec.hidden), np.float32)
        made = np.empty_like(tracks.probs)
        for t in range(steps):
            inputs: dict[str, InputArray] = {"probs": np.ascontiguousarray(tracks.probs[:, t]), "h": h, "c": c}
            if spec.context:
                inputs["context"] = told[:, t]
            if stat is not None:
                inputs["stat"] = stat[:, t]
            out = runner.infer(inputs)
            made[:, t], h, c = out["probs"], out["h"].copy(), out["c"].copy()
        return made

    return answers
