"""List, pull, load and verify: the zoo's four verbs."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from engines.errors import ModelUnavailable, UnknownModel, WrongUse, WrongWeights
from engines.spec import ModelSpec, Role
from engines.zoo.cache import cache_folder, locked, sha256_of, sha256_of_bytes, write_atomically
from engines.zoo.catalogue import ENTRIES as ENTRIES
from engines.zoo.entries import Entry, LoadedModel, Progress
from engines.zoo.exports import load_export, names_folder, spec_of_export
from engines.zoo.paper import PAPER_MODELS, refuse_paper_model


@dataclass(frozen=True)
class ListedModel:
    """One line of `models list`; `path` is None until the model was pulled."""

    spec: ModelSpec
    path: Path | None
    size_bytes: int | None


@dataclass(frozen=True)
class Verification:
    """What `models verify` found: `good`, `absent` (not pulled) or `wrong` (refused; pull it again)."""

    name: str
    state: Literal["good", "absent", "wrong"]
    path: Path
    sha256: str | None
    text: str


def entry_of(name: str) -> Entry:
    """The zoo's entry of that name; raises `UnknownModel` naming those there are.

    Raises `ModelUnavailable` for the paper's models, which must be trained.
    """
    for entry in ENTRIES:
        if entry.spec.name == name:
            return entry
    refuse_paper_model(name)
    known = ", ".join(entry.spec.name for entry in ENTRIES)
    raise UnknownModel(
        f"no model is called {name!r}; the zoo has {known}; a model of your own is named by the folder that "
        "`engines export` wrote"
    )


def is_export(name: str) -> bool:
    """Whether a model's name means an exported folder; a name of the zoo never does."""
    return all(entry.spec.name != name for entry in ENTRIES) and names_folder(name)


def spec_of(name: str, *, precision: str = "auto", role: Role | None = None) -> ModelSpec:
    """The spec of a model of the zoo or of an exported folder; no weights are read.

    Raises `UnknownModel`, `ModelUnavailable`, and `WrongUse` when the model has another role than `role`.
    """
    spec = spec_of_export(Path(name), precision=precision) if is_export(name) else entry_of(name).spec
    if role is not None and spec.role != role:
        fitting = ", ".join(entry.spec.name for entry in ENTRIES if entry.spec.role == role)
        raise WrongUse(
            f"{name} is a model of the role {spec.role!r} and one of the role {role!r} is wanted here: name one of "
            f"{fitting}, or the folder of an exported one"
        )
    return spec


def list_models(*, cache: Path | None = None) -> tuple[ListedModel, ...]:
    """Every model of the zoo, pulled or not, those of the paper last; no file is read."""
    listed = []
    for entry in ENTRIES:
        path = model_path(entry, cache)
        there = path.is_file()
        listed.append(ListedModel(entry.spec, path if there else None, path.stat().st_size if there else None))
    return (*listed, *(ListedModel(spec, None, None) for spec in PAPER_MODELS))


def model_path(entry: Entry, cache: Path | None = None) -> Path:
    """Where the converted file of a model is, or will be."""
    spec = entry.spec
    return cache_folder(cache) / "models" / f"{spec.name}-{spec.version}-{spec.sha256[:8]}" / f"{spec.name}.onnx"


def pull(
    name: str, *, cache: Path | None = None, folder: Path | None = None, progress: Progress | None = None
) -> LoadedModel:
    """Fetch, check, convert and keep a model; quick when it is there already, repairs it when it is damaged.

    `folder` holds the published files, or the converted `NAME.onnx`, and is used instead of any network. Several
    processes may pull at once: one works, the others wait and find it done. `progress` is given short sentences.
    Raises `UnknownModel`, `ModelUnavailable`, `WrongWeights`.
    """
    entry = entry_of(name)
    path = model_path(entry, cache)
    say = progress or (lambda _: None)
    try:
        with locked(path.parent):
            if _state(entry, path)[0] != "good":
                content = _converted(entry, folder, say)
                if entry.converted_sha256 is None:
                    write_atomically(_receipt(path), json.dumps({"sha256": sha256_of_bytes(content)}).encode())
                write_atomically(path, content)
            say(f"{name}: ready at {path}")
    except OSError as error:
        raise ModelUnavailable(
            f"{name} cannot be kept in {path.parent}: {error}. Free some space or set AFFECT_STREAMER_CACHE elsewhere."
        ) from error
    return LoadedModel(entry.spec, path)


def load(
    name: str,
    *,
    cache: Path | None = None,
    folder: Path | None = None,
    offline: bool = False,
    precision: str = "auto",
    role: Role | None = None,
) -> LoadedModel:
    """A model ready to run, its sha256 checked now; pulled first when it is not here and `offline` is false.

    `name` is one of the zoo, or the folder of a model of your own that `engines export` wrote; `precision` matters for
    the latter alone: `int8` means its quantised network. With a `folder` no network is used either way.
    Raises `WrongWeights` for a damaged file: it is never repaired silently. Raises `WrongUse` for a model of another
    `role`. Further errors as `pull`.
    """
    spec_of(name, precision=precision, role=role)
    if is_export(name):
        return load_export(Path(name), precision=precision)
    entry = entry_of(name)
    path = model_path(entry, cache)
    state, _, text = _state(entry, path)
    if state == "good":
        return LoadedModel(entry.spec, path)
    if state == "wrong":
        raise WrongWeights(text)
    if offline and folder is None:
        raise ModelUnavailable(
            f"{name} is not in {path.parent} and the network is not to be used; "
            f"run `streamer models pull {name}` where there is one, or name a folder with its files"
        )
    return pull(name, cache=cache, folder=folder)


def verify(name: str, *, cache: Path | None = None) -> Verification:
    """Read the kept file, or an exported folder's, and compare its sha256.

    Raises `UnknownModel`, and `ModelUnavailable` for what is no exported model or was never published.
    """
    if is_export(name):
        return _verify_export(name)
    entry = entry_of(name)
    path = model_path(entry, cache)
    state, found, text = _state(entry, path)
    return Verification(name, state, path, found, text)


def _verify_export(name: str) -> Verification:
    path = Path(name).expanduser()
    try:
        loaded = load_export(path)
    except WrongWeights as error:
        return Verification(name, "wrong", path, None, str(error))
    return Verification(name, "good", loaded.path, loaded.spec.sha256, f"{name} is what its spec names")


def _state(entry: Entry, path: Path) -> tuple[Literal["good", "absent", "wrong"], str | None, str]:
    name = entry.spec.name
    try:
        found = sha256_of(path)
    except OSError:
        return "absent", None, f"{name} is not here; run `streamer models pull {name}`"
    expected = entry.converted_sha256 or _noted(path)
    if found == expected:
        return "good", found, f"{name} is what the zoo names"
    text = f"{path} was refused: its sha256 is {found}, expected {expected}. Run `streamer models pull {name}`."
    return "wrong", found, text


def _receipt(path: Path) -> Path:
    return path.with_suffix(".json")


def _noted(path: Path) -> str | None:
    """The digest noted at the pull, for models whose conversion has never been pinned."""
    try:
        return str(json.loads(_receipt(path).read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _converted(entry: Entry, folder: Path | None, say: Progress) -> bytes:
    from engines.zoo.fetch import (
        fetch,
        from_folder,
    )  # brings clients for networks, which a model in the cache needs not

    name = entry.spec.name
    if folder is None:
        files = fetch(entry, say)
    else:
        found = from_folder(entry, folder)
        ready = folder / f"{name}.onnx"
        if found is None and entry.converted_sha256 and ready.is_file():
            content: bytes = ready.read_bytes()
            if sha256_of_bytes(content) != entry.converted_sha256:
                found_sha256 = sha256_of_bytes(content)
                raise WrongWeights(
                    f"{ready} was refused: its sha256 is {found_sha256}, expected {entry.converted_sha256}. "
                    "Copy it again from a cache where `streamer models verify` is content."
                )
            return content
        if found is None:
            wanted = ", ".join(artefact.name for artefact in entry.artefacts)
            raise ModelUnavailable(f"{folder} has neither {wanted} nor {name}.onnx; put them there or drop --folder")
        files = found
    say(f"{name}: converting")
    module = importlib.import_module(f"engines.zoo.convert.{entry.converter}")
    try:
        content = module.convert(files)
    except ValueError as error:
        raise WrongWeights(f"{name} could not be converted: {error}") from error
    if entry.converted_sha256 is None:
        _check_outputs(content, entry.spec)
    if entry.converted_sha256 and sha256_of_bytes(content) != entry.converted_sha256:
        raise WrongWeights(
            f"{name}: the conversion gave sha256 {sha256_of_bytes(content)}, expected {entry.converted_sha256}; "
            f"the installed onnx package writes files differently, so name a folder with a converted {name}.onnx"
        )
    return content


def _check_outputs(content: bytes, spec: ModelSpec) -> None:
    """Where no digest says what the conversion must give, its outputs at least are those that the spec names."""
    from engines.zoo.convert.graph import parsed

    found = {
        entry.name: tuple(axis.dim_value or -1 for axis in entry.type.tensor_type.shape.dim)
        for entry in parsed(content).graph.output
    }
    for output in spec.outputs:
        if found.get(output.name) != output.shape:
            raise WrongWeights(
                f"{spec.name}: the file answers `{output.name}` as {found.get(output.name)} where {output.shape} was "
                "expected; it is another network and was refused"
            )


def spec_json(spec: ModelSpec) -> dict[str, object]:
    """The spec as plain values, for `--json`."""
    plain: dict[str, object] = msgspec.to_builtins(spec)
    return plain
