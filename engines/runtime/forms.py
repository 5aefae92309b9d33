"""What inputs and outputs look like, and how a batch is cut into prepared ones: the same for every engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineError
from engines.runtime.protocol import InputArray
from engines.spec import N_PROBS, HeadSpec, ModelSpec, stat_size


@dataclass(frozen=True)
class InputForm:
    """What one input must look like; `shape` is without the batch axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Piece:
    """Rows `start:stop` of a call, run as a batch of `batch` whose last rows are padding."""

    batch: int
    start: int
    stop: int


def padded_pieces(n: int, batches: Collection[int]) -> list[Piece]:
    """n rows in as few prepared batches as will do: whole largest ones, then the smallest that holds the rest."""
    ordered = sorted(batches)
    pieces = []
    start = 0
    while start < n:
        rest = n - start
        batch = next((one for one in ordered if one >= rest), ordered[-1])
        pieces.append(Piece(batch, start, min(n, start + batch)))
        start = pieces[-1].stop
    return pieces


def check_inputs(name: str, forms: Mapping[str, InputForm], inputs: Mapping[str, InputArray]) -> int:
    """How many rows the inputs of model `name` have; `EngineError` when they are not what `forms` says."""
    if inputs.keys() != forms.keys():
        raise EngineError(f"{name} takes {sorted(forms)}, not {sorted(inputs)}")
    counts = set()
    for key, form in forms.items():
        array = inputs[key]
        if array.dtype != form.dtype or array.shape[1:] != form.shape or array.ndim != len(form.shape) + 1:
            wanted = ",".join(map(str, ("B", *form.shape)))
            raise EngineError(f"{name} takes {key} as {form.dtype} ({wanted}), not {array.dtype} {array.shape}")
        counts.add(array.shape[0])
    if len(counts) != 1:
        raise EngineError(f"{name} was given inputs of different lengths: {sorted(counts)}")
    return int(counts.pop())


def input_size(spec: ModelSpec, input_size_wh: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of an image model's input; `EngineError` for a size it does not take."""
    if spec.crop is not None:
        own = (spec.crop.width, spec.crop.height)
        if input_size_wh not in (None, own):
            raise EngineError(f"{spec.name} takes crops of {own[0]}x{own[1]} px, not {input_size_wh}")
        return own
    if input_size_wh is None:
        raise EngineError(f"{spec.name} runs at any size: give input_size_wh")
    if any(side < 1 or side % spec.input_multiple for side in input_size_wh):
        raise EngineError(
            f"{spec.name} needs sides that are multiples of {spec.input_multiple} px, not {input_size_wh}"
        )
    return input_size_wh


def check_head(spec: HeadSpec, inputs: Mapping[str, InputForm], outputs: Sequence[str]) -> None:
    """Raises `EngineError` when a head's network does not read or give what its spec says."""
    wanted: dict[str, tuple[int, ...]] = {"probs": (N_PROBS,)}
    if spec.n_features:
        wanted["features"] = (spec.n_features,)
    if spec.stat != "none":
        wanted["stat"] = (stat_size(spec.stat, spec.n_features),)
    if spec.windowed:
        wanted["block"] = (spec.window, N_PROBS)
    if spec.context:
        wanted["context"] = (len(spec.context),)
    if spec.hidden:
        wanted |= {"h": (spec.hidden,), "c": (spec.hidden,)}
    found = {name: form.shape for name, form in inputs.items()}
    if found != wanted:
        raise EngineError(f"head {spec.name}: its HeadSpec needs inputs {wanted}, the network has {found}")
    needed = {"probs"} | ({"h", "c"} if spec.hidden else set())
    if missing := needed - set(outputs):
        raise EngineError(f"head {spec.name}: the network lacks the outputs {', '.join(sorted(missing))}")


def head_outputs(inputs: Collection[str], declared: Sequence[str]) -> dict[str, str]:
    """Our names of a head's outputs, to the network's: one that is called like an input ends in `_out` in the file."""
    outputs = {}
    for name in declared:
        bare = name.removesuffix("_out")
        outputs[bare if bare in inputs else name] = name
    return outputs


def head_inputs(spec: HeadSpec, path: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, InputForm]:
    """The forms of a head's inputs from their declared shapes, -1 for a dynamic axis; the first is the batch."""
    inputs = {}
    for name, shape in shapes.items():
        rest = tuple(shape[1:])
        if -1 in rest:
            raise EngineError(f"{spec.name}: input {name} of {path} has a dynamic axis besides the batch")
        inputs[name] = InputForm(rest, np.dtype("float32"))
    return inputs
