"""An environment for each peer, made by uv or pip on first use and kept in the cache; never in ours."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.zoo.cache import cache_folder, locked
from engines.zoo.clients import ClientFailed, throw_away_environment
from streamer.bench.peers.protocol import PeerFailed

_VERSIONS = (
    "import importlib.metadata as m, json, platform;"
    "print(json.dumps({'python': platform.python_version(), **{d.name: d.version for d in m.distributions()}}))"
)
_DONE = "made.json"


@dataclass(frozen=True, slots=True)
class Environment:
    """A peer's interpreter, and the versions of everything that is installed beside it."""

    python: Path
    versions: dict[str, str]


def environment(
    name: str, requirements: Sequence[str], *, cache: Path | None = None, tell: Callable[[str], None] = lambda _: None
) -> Environment:
    """The environment with these requirements, made when it is not there. Raises `PeerFailed`.

    Other requirements make another environment; what an interrupted making left behind is made anew.
    """
    wanted = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    root = cache_folder(cache) / "peers"
    folder = root / f"{name}-{wanted}"
    with locked(root):
        if not (folder / _DONE).is_file():
            tell(f"making an environment for {name} in {folder}: {', '.join(requirements)}")
            shutil.rmtree(folder, ignore_errors=True)
            try:
                throw_away_environment(folder, *requirements)
                versions = _versions(folder / "bin" / "python")
                (folder / _DONE).write_text(json.dumps(versions), encoding="utf-8")
            except (ClientFailed, OSError, subprocess.SubprocessError, ValueError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise PeerFailed(f"its environment could not be made: {error}") from error
        found: dict[str, str] = json.loads((folder / _DONE).read_text(encoding="utf-8"))
    return Environment(folder / "bin" / "python", found)


def _versions(python: Path) -> dict[str, str]:
    done = subprocess.run([str(python), "-I", "-c", _VERSIONS], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
