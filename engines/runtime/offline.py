"""A track's past and its answers from whole sequences, outside the streamer, in the streamer's own arithmetic.

`engines` never imports `streamer`, so what `streamer/faces/embed.py` and `streamer/state/stat.py` do one observation at
a time is written here a second time, over whole arrays. Tests hold the two together bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import WrongUse
from engines.runtime.protocol import FloatArray, InputArray, Runner
from engines.spec import EXPRESSIONS, HeadSpec, ModelSpec, StatKind


def probabilities(logits: FloatArray, class_order: tuple[str, ...], temperature: float) -> FloatArray:
    """(N,7) in the order of EXPRESSIONS from logits (N,C), other classes left out, float64 inside."""
    columns = [class_order.index(name) for name in EXPRESSIONS]
    kept = logits[:, columns].astype(np.float64) / temperature
    powers = np.exp(kept - kept.max(axis=1, keepdims=True))
    total = np.cumsum(powers, axis=1)[:, -1:]  # column after column, as one row would be summed alone
    shares: FloatArray = (powers / total).astype(np.float32)
    return shares


def coloured(crops_rgb: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """(...,3) RGB in the channel order that the model's runner takes."""
    return np.ascontiguousarray(crops_rgb if spec.normalisation.colour == "rgb" else crops_rgb[..., ::-1])


def blocks_of(rows: FloatArray, window: int) -> FloatArray:
    """(N,s,W): for each of the rows (N,W) its block, the current one last and the oldest repeated in front."""
    back = np.arange(len(rows))[:, None] - np.arange(window - 1, -1, -1)
    blocks: FloatArray = rows[np.maximum(back, 0)]
    return blocks


def stat_of(blocks: FloatArray, kind: StatKind) -> FloatArray:
    """(N,S): STAT of blocks (N,s,W). The mean is exact up to one rounding, by counting in fixed units."""
    window = blocks.shape[1]
    unit = 2.0 ** (53 - 16 - (window - 1).bit_length())
    mean = (np.rint(blocks.astype(np.float64) * unit).sum(axis=1) / (unit * window)).astype(np.float32)
    parts: dict[StatKind, list[NDArray[np.float32]]] = {
        "none": [mean[:, :0]],
        "mean": [mean],
        "probs": [blocks.min(axis=1), blocks.max(axis=1), mean],
        "min_max_mean": [blocks.min(axis=1), blocks.max(axis=1), mean],
    }
    return np.concatenate(parts[kind], axis=1)


@dataclass(frozen=True)
class Sequence:
    """N observations of one track in time order: `features` (N,D) and calibrated `probs` (N,7)."""

    features: FloatArray
    probs: FloatArray


def run_head(head: Runner, spec: HeadSpec, seen: Sequence) -> dict[str, FloatArray]:
    """What the head says of every observation of one track: `probs` (N,7) and what else it answers, (h, c) included.

    A head that carries (h, c) is stepped, any other is asked for all at once. Raises `WrongUse` for a head that is
    told of the context, which crops do not have.
    """
    if spec.context:
        raise WrongUse(f"{spec.model_id} is told of each observation's context, which crops alone do not have")
    inputs: dict[str, InputArray] = {"probs": seen.probs}
    if spec.n_features:
        inputs["features"] = seen.features
    if spec.stat != "none":
        with_features = spec.stat in ("mean", "min_max_mean")
        rows = np.concatenate([seen.features, seen.probs], axis=1) if with_features else seen.probs
        inputs["stat"] = stat_of(blocks_of(rows, spec.window), spec.stat)
    if spec.windowed:
        inputs["block"] = blocks_of(seen.probs, spec.window)
    if not spec.hidden:
        return {name: values.copy() for name, values in head.infer(inputs).items()}
    return _stepped(head, spec, inputs, len(seen.probs))


def _stepped(head: Runner, spec: HeadSpec, inputs: Mapping[str, InputArray], n: int) -> dict[str, FloatArray]:
    h = c = np.zeros((1, spec.hidden), np.float32)
    gathered: dict[str, list[FloatArray]] = {}
    for i in range(n):
        step = {name: array[i : i + 1] for name, array in inputs.items()}
        answer = {name: values.copy() for name, values in head.infer({**step, "h": h, "c": c}).items()}
        h, c = answer["h"], answer["c"]
        for name, values in answer.items():
            gathered.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in gathered.items()}
