"""Models of the user's own: a folder that `engines export` wrote, checked like everything else in the zoo.

`backbone.json` (a ModelSpec) and `backbone.onnx`; `head.json` (a HeadSpec) and `head.onnx` where the model looks at
the past; `backbone-int8.json` with `backbone-int8.xml` and `.bin` (the engine's own format) once it was quantised.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engines.errors import ModelUnavailable, WrongWeights
from engines.spec import ModelSpec
from engines.zoo.cache import sha256_of
from engines.zoo.entries import LoadedModel

BACKBONE, INT8_BACKBONE, HEAD = "backbone", "backbone-int8", "head"
WEIGHTS_KEY = "bin_sha256"
"""Where the quantised network's .xml names its .bin, so that the hash of the one stands for both. The .xml also repeats
the `metadata_props` of the ONNX it came from: none of them may be called so."""
_WEIGHTS_NAMED = re.compile(rf'<{WEIGHTS_KEY} value="([0-9a-f]{{64}})"'.encode())


def names_folder(name: str) -> bool:
    """Whether a name that the zoo has not got means a folder: it looks like a path, or a folder is called so here."""
    return "/" in name or "\\" in name or name.startswith((".", "~")) or Path(name).is_dir()


def load_export(folder: Path, *, precision: str = "auto") -> LoadedModel:
    """The backbone in an exported folder, its sha256 checked now; the quantised one when `precision` is `int8`.

    Raises `ModelUnavailable` when the folder or one of its files is missing or describes no model, `WrongWeights` when
    the network is not the one that its spec names.
    """
    folder = folder.expanduser()
    spec, network = _spec(folder, precision), _network(folder, precision)
    try:
        found = sha256_of(network)
    except OSError as error:
        raise ModelUnavailable(
            f"{network} cannot be read ({error.strerror}); write {folder} again with `engines export`"
        ) from error
    if found != spec.sha256:
        raise WrongWeights(
            f"{network} was refused: its sha256 is {found}, expected {spec.sha256}; export the model again"
        )
    if network.suffix == ".xml":
        _check_weights(network)
    return LoadedModel(spec, network)


def spec_of_export(folder: Path, *, precision: str = "auto") -> ModelSpec:
    """The spec of an exported folder's backbone; no network is read. Raises `ModelUnavailable`."""
    return _spec(folder.expanduser(), precision)


def exported_head(name: str) -> Path | None:
    """The `head.json` of the export that `name` means, None where it is no folder or has no head. Errors are left to
    whoever loads it."""
    if not names_folder(name):
        return None
    path = Path(name).expanduser() / f"{HEAD}.json"
    return path if path.is_file() else None


def _network(folder: Path, precision: str) -> Path:
    return folder / (f"{INT8_BACKBONE}.xml" if precision == "int8" else f"{BACKBONE}.onnx")


def _spec(folder: Path, precision: str) -> ModelSpec:
    if folder.is_file():
        raise ModelUnavailable(f"{folder} is a file; name the folder that `engines export` wrote")
    if not folder.is_dir():
        raise ModelUnavailable(f"there is no folder {folder}; name one that `engines export` wrote")
    described = _network(folder, precision).with_suffix(".json")
    if precision == "int8" and not described.is_file() and (folder / f"{BACKBONE}.json").is_file():
        raise ModelUnavailable(
            f"{folder} has no int8 network; make one with `engines quantize {folder} --crops PATH` or ask for "
            "another precision"
        )
    try:
        spec = msgspec.json.decode(described.read_bytes(), type=ModelSpec)
    except OSError as error:
        raise ModelUnavailable(
            f"{folder} is no exported model: {described.name} cannot be read ({error.strerror}); name a folder that "
            "`engines export` wrote"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelUnavailable(
            f"{described} describes no model: {error}; write it again with `engines export`"
        ) from error
    if spec.role == "expression":
        _check_expression(spec, described)
    return spec


def _check_expression(spec: ModelSpec, described: Path) -> None:
    outputs = {output.name: output.shape for output in spec.outputs}
    wanted = {"features": (-1, spec.n_features), "logits": (-1, len(spec.class_order))}
    wrong = [name for name, shape in wanted.items() if outputs.get(name) != shape]
    if spec.crop is None:
        wrong.append("crop")
    if wrong:
        raise ModelUnavailable(
            f"{described} describes no expression model ({', '.join(wrong)} missing or at odds with the rest); "
            "write it again with `engines export`"
        )


def _check_weights(network: Path) -> None:
    """The .bin beside an .xml, against the digest that the .xml carries."""
    named = _WEIGHTS_NAMED.search(network.read_bytes())
    weights = network.with_suffix(".bin")
    try:
        found = sha256_of(weights)
    except OSError as error:
        raise ModelUnavailable(f"{weights} cannot be read ({error.strerror}); quantise the model again") from error
    if named is None or named[1].decode() != found:
        raise WrongWeights(f"{weights} was refused: it is not the one {network.name} names; quantise the model again")
