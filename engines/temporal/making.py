"""From settings to files: the trained head as ONNX with its description, and the filters it is measured against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engines.errors import BadData
from engines.spec import HeadSpec, Provenance
from engines.temporal import model
from engines.temporal.filters import AnyFilter, Remap
from engines.temporal.onnx_graphs import context_head_onnx, filter_onnx, head_spec
from engines.temporal.residuals import ResidualTracks
from engines.temporal.sequences import CONTEXT
from engines.temporal.simulator import TRAINING, simulate
from engines.temporal.training import TrainSettings, fit_remap, train
from engines.temporal.tuning import tuned_filters
from engines.zoo.cache import write_atomically

NAME, BACKBONE = "temporal", "face-api"
TRAINED_ON = (
    "simulated tracks of face-api's calibrated probabilities, their noise in part residual tracks of that network on "
    "three public clips; no face with a label"
)


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`filters.json`: how the head was trained, the remap fitted and the filters tuned beside it."""

    settings: TrainSettings
    remap: Remap
    filters: tuple[AnyFilter, ...]


def make(settings: TrainSettings, residuals: ResidualTracks, out: Path, tell: Callable[[int, float], None]) -> HeadSpec:
    """Train the head and tune the filters; write `temporal.onnx`, `temporal.json` and `filters.json` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    remap = fit_remap(settings, residuals)
    tuning = simulate(TRAINING, 150, 400, np.random.default_rng((settings.seed, 3)), residuals)
    made = Made(settings=settings, remap=remap, filters=tuple(tuned_filters(tuning, remap)))
    write_atomically(out / "filters.json", msgspec.json.format(msgspec.json.encode(made), indent=1))
    head = train(settings, residuals, tell=tell)
    weights = {name: np.asarray(value.numpy(), np.float32) for name, value in head.state_dict().items()}
    content = context_head_onnx(weights, scaling())
    spec = head_spec(
        content,
        name=NAME,
        version="1",
        hidden=settings.units,
        stat="probs",
        context=CONTEXT,
        provenance=_provenance("LSTM over log-probs, STAT and context; valence and arousal are left to the records."),
    )
    spec = msgspec.structs.replace(spec, backbone=BACKBONE)
    write_head(out / f"{NAME}.onnx", content, spec)
    return spec


def write_filter(one: AnyFilter, path: Path) -> HeadSpec:
    """Write a tuned filter as a head (`path` ends in .onnx), called as the file is."""
    content = filter_onnx(one)
    spec = head_spec(
        content,
        name=path.stem,
        version="1",
        hidden=7,
        stat="none",
        context=("gap_s",),
        provenance=_provenance(f"A plain filter, {one.name}: {_settings(one)}."),
    )
    # The remap is fitted to one network; without it a filter takes anybody's probabilities.
    spec = msgspec.structs.replace(spec, backbone=BACKBONE if one.remap else None)
    write_head(path, content, spec)
    return spec


def write_head(path: Path, content: bytes, spec: HeadSpec) -> None:
    """The ONNX and its description beside it."""
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(spec), indent=1) + b"\n")


def load_made(folder: Path) -> Made:
    """What `make` wrote beside the head. Raises `BadData`."""
    return load_made_file(folder / "filters.json")


def load_made_file(path: Path) -> Made:
    """The same from a file of its own. Raises `BadData`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Made)
    except (OSError, msgspec.DecodeError) as error:
        raise BadData(f"{path} cannot be read ({error}): write it with `engines temporal train --out`") from error


def scaling() -> dict[str, float]:
    """The numbers that `engines.temporal.model` scales its input by, for the graph."""
    return {
        "smallest_prob": model.SMALLEST_PROB,
        "gap_offset_s": model.GAP_OFFSET_S,
        "longest_gap_s": model.LONGEST_GAP_S,
        "smallest_face_px": model.SMALLEST_FACE_PX,
        "usual_face_px": model.USUAL_FACE_PX,
        "score_middle": model.SCORE_MIDDLE,
        "score_scale": model.SCORE_SCALE,
        "angle_scale": model.ANGLE_SCALE,
    }


def _settings(one: AnyFilter) -> str:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    return ", ".join(f"{name} {value}" for name, value in plain.items() if name not in ("remap", "type"))


def _provenance(notes: str) -> Provenance:
    return Provenance(
        licence="Apache-2.0", origin="this project, `engines temporal`", trained_on=TRAINED_ON, notes=notes
    )
