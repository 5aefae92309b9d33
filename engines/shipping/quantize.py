"""An exported backbone to int8: calibrated on crops, judged on others, timed against what it would replace."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.errors import WrongUse
from engines.faces import UInt8Array
from engines.runtime import open_runner
from engines.runtime.compiled import core, openvino
from engines.runtime.offline import coloured
from engines.shipping.comparison import Compared, as_text, compare_sides
from engines.shipping.fidelity import LIMITS, Fidelity
from engines.shipping.sides import EngineSide
from engines.shipping.speed import Speed, time_in_pairs
from engines.spec import ModelSpec
from engines.zoo import LoadedModel, load_export
from engines.zoo.cache import sha256_of, sha256_of_bytes, write_atomically
from engines.zoo.exports import INT8_BACKBONE, WEIGHTS_KEY

FEWEST_CROPS = 40
_JUDGED_OF = 4
"""Every so many-th crop is kept from calibration and judges the result."""
_TIMED_BATCH = 8
_SUBSET = 300


@dataclass(frozen=True)
class Quantised:
    """What came of it. `refusals` is empty when it is good; `written` whether it is in the folder all the same."""

    fidelity: Compared
    speed: Speed
    correction: str
    n_calibrated: int
    refusals: tuple[str, ...]
    written: bool

    def as_text(self) -> str:
        """For people."""
        parts = [as_text(self.fidelity), f"speed: {self.speed.as_text()}", f"bias correction: {self.correction}"]
        return "\n".join(parts)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "fidelity": self.fidelity.plain(),
            "speed": self.speed.plain(),
            "correction": self.correction,
            "n_calibrated": self.n_calibrated,
            "refusals": list(self.refusals),
            "written": self.written,
        }


def quantize_export(
    folder: Path,
    crops_rgb: UInt8Array,
    *,
    drop: float = 0.03,
    keep_anyway: bool = False,
    n_repeats: int = 25,
    say: Callable[[str], None] = lambda _: None,
) -> Quantised:
    """Write the int8 backbone into an exported `folder`, unless it is worse or slower than what there is.

    `crops_rgb` (N,H,W,3) are faces as the model will see them; a quarter of them judges. Refused, and nothing changed,
    when more than `drop` of the clear labels change, the features are below the limits of `fidelity`, or it is slower
    than bf16 on this CPU (fp32 where it has no bf16). `keep_anyway` writes it all the same and says so in its spec.
    Raises `WrongUse` for too few crops and `ModelUnavailable`, `WrongWeights` for a folder that is no export.
    """
    if len(crops_rgb) < FEWEST_CROPS:
        raise WrongUse(f"{len(crops_rgb)} crops are too few: {FEWEST_CROPS} or more are needed, some hundreds are good")
    model = load_export(folder)
    judged = np.arange(len(crops_rgb)) % _JUDGED_OF == 0
    with tempfile.TemporaryDirectory(prefix="engines-quantize-") as scratch:
        trials = []
        for correction in ("fast", "full"):
            say(f"calibrating on {int((~judged).sum())} crops, {correction} bias correction")
            trial = Path(scratch) / correction
            trial.mkdir()
            made = _written(_quantised(model, crops_rgb[~judged], fast=correction == "fast"), model.spec, trial)
            compared = _compare(model, made, crops_rgb[judged], trial)
            refusals = list(_unfaithful(compared.fidelity, drop))
            trials.append((len(refusals), -_features_db(compared), correction, made, compared, refusals))
            say(f"{correction} bias correction: {'; '.join(refusals) or 'within its limits'}")
            if not refusals:
                break
        # The full correction is not always the better one.
        _, _, correction, made, compared, refusals = min(trials, key=lambda one: one[:2])
        trial = made.path.parent
        say("timing it against what it would replace")
        speed = _speed(model, made, crops_rgb, trial, n_repeats)
        if speed.ratio < 1.0:
            refusals.append(f"it is slower than {speed.against} on this CPU: {speed.ratio:.2f} times its speed")
        if not refusals or keep_anyway:
            notes = _notes(refusals, compared, speed, correction)
            _keep(folder, trial, made.spec, notes)
    kept = not refusals or keep_anyway
    return Quantised(compared, speed, correction, int((~judged).sum()), tuple(refusals), kept)


def _quantised(model: LoadedModel, crops_rgb: UInt8Array, *, fast: bool) -> Any:
    spec = model.spec
    normalisation = spec.normalisation
    mean, std = np.array(normalisation.mean, np.float32), np.array(normalisation.std, np.float32)

    def network_input(crop: UInt8Array) -> NDArray[np.float32]:
        image = (coloured(crop, spec).astype(np.float32) - mean) / std
        return np.ascontiguousarray(image.transpose(2, 0, 1) if normalisation.layout == "nchw" else image)[None]

    with _quiet_nncf() as nncf:
        return nncf.quantize(
            core().read_model(model.path),
            nncf.Dataset(list(crops_rgb), network_input),
            preset=nncf.QuantizationPreset.MIXED,  # symmetric weights, asymmetric activations: not all are ReLU's
            subset_size=min(_SUBSET, len(crops_rgb)),
            fast_bias_correction=fast,
        )


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[Any]:
    """NNCF without its usage reports, progress bars and warnings about itself."""
    before, disabled = os.environ.get("NNCF_CI"), logging.root.manager.disable
    os.environ["NNCF_CI"] = "1"  # read once, at the first import: it then sends nothing over the network
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            import nncf

            yield nncf
        finally:
            logging.disable(disabled)
            if before is None:
                del os.environ["NNCF_CI"]
            else:
                os.environ["NNCF_CI"] = before


def _written(network: Any, spec: ModelSpec, folder: Path) -> LoadedModel:
    """The network as .xml and .bin, the former naming the latter's digest, and its spec."""
    path = folder / f"{INT8_BACKBONE}.xml"
    engine = openvino()
    engine.serialize(network, path, path.with_suffix(".bin"))
    network.set_rt_info(sha256_of(path.with_suffix(".bin")), [WEIGHTS_KEY])
    engine.serialize(network, path, path.with_suffix(".bin"))
    return LoadedModel(msgspec.structs.replace(spec, sha256=sha256_of_bytes(path.read_bytes())), path)


def _compare(model: LoadedModel, made: LoadedModel, crops_rgb: UInt8Array, cache: Path) -> Compared:
    sides = []
    for one, precision in ((model, "fp32"), (made, "int8")):
        runner = open_runner(one, precision=precision, cache=cache)
        sides.append(EngineSide(f"{one.spec.name}@{precision}", one.spec, runner, None))
    try:
        (compared,) = compare_sides(sides[0], sides[1:], crops_rgb)
    finally:
        for side in sides:
            side.close()
    return compared


def _features_db(compared: Compared) -> float:
    features = next(one for one in compared.fidelity.outputs if one.name == "features")
    assert features.snr_db is not None, "features are judged by signal to noise"
    return features.snr_db


def _unfaithful(fidelity: Fidelity, drop: float) -> Iterator[str]:
    yield from fidelity.failures
    for one in fidelity.labels:
        if one.agreement >= LIMITS["int8"].labels and one.agreement < 1 - drop:
            yield f"{one.name}: {1 - one.agreement:.1%} of {one.n_clear} clear labels change, more than {drop:.1%}"


def _speed(model: LoadedModel, made: LoadedModel, crops: UInt8Array, cache: Path, n_repeats: int) -> Speed:
    rows = crops[np.arange(_TIMED_BATCH) % len(crops)]
    theirs = open_runner(model, precision="auto", cache=cache)
    ours = open_runner(made, precision="int8", cache=cache)
    try:
        return time_in_pairs(
            lambda: ours.infer({"image": rows}),
            lambda: theirs.infer({"image": rows}),
            n_pictures=len(rows),
            n_repeats=n_repeats,
            names=("int8", theirs.precision),
            device=ours.device,
        )
    finally:
        ours.close()
        theirs.close()


def _notes(refusals: list[str], compared: Compared, speed: Speed, correction: str) -> str:
    (labels,) = compared.fidelity.labels
    told = (
        f"Quantised to int8 after training, {correction} bias correction: {_features_db(compared):.1f} dB, "
        f"labels equal {labels.agreement:.2%} of {labels.n_clear} clear ones, {speed.as_text()}."
    )
    return f"KEPT ALTHOUGH REFUSED: {'; '.join(refusals)}. {told}" if refusals else told


def _keep(folder: Path, trial: Path, spec: ModelSpec, notes: str) -> None:
    provenance = spec.provenance
    told = msgspec.structs.replace(provenance, notes=" ".join(filter(None, [provenance.notes, notes])))
    spec = msgspec.structs.replace(spec, provenance=told)
    described = msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"
    (folder / f"{INT8_BACKBONE}.json").unlink(missing_ok=True)  # half a change must not look like a whole one
    for kind in ("bin", "xml"):
        name = f"{INT8_BACKBONE}.{kind}"
        write_atomically(folder / name, (trial / name).read_bytes())
    write_atomically(folder / f"{INT8_BACKBONE}.json", described)
