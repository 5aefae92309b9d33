"""The files in which a worker's live records wait while the broker is away, one a child, kept for its name.

A worker of the same name finds again what an earlier one could not deliver, so no two may have one name at once.
"""

from __future__ import annotations

import fcntl
import re
from pathlib import Path
from types import TracebackType
from typing import IO

import platformdirs

from streamer.config import SpoolSettings
from streamer.errors import UsageError

_ENDING = ".spool"


class Spools:
    """Holds the worker's name on this machine until closed. `enabled` false: the bus is a file and never away."""

    def __init__(self, settings: SpoolSettings, name: str, *, enabled: bool) -> None:
        """Raises `UsageError` when another worker has the name, or the folder cannot be used."""
        self._enabled = enabled
        self._name = name
        base = Path(settings.folder) if settings.folder else platformdirs.user_state_path("affect-streamer") / "spool"
        self._folder = base / re.sub(r"[^A-Za-z0-9._-]", "_", name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[bytes] = (self._folder / "lock").open("ab")
        except OSError as error:
            raise UsageError(
                f"cannot use the folder {self._folder} for what waits for the broker ({error.strerror}): name another "
                "under spool.folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise UsageError(
                f"a worker named {name} runs on this machine already: give this one another name (fleet.name)"
            ) from error

    def path(self, child: int) -> Path | None:
        """The file of a child."""
        return self._folder / f"{child}{_ENDING}" if self._enabled else None

    def left_behind(self) -> list[int]:
        """The children of an earlier worker of this name whose files may hold records that were not delivered."""
        if not self._enabled:
            return []
        found = (path.name.removesuffix(_ENDING) for path in self._folder.glob(f"*{_ENDING}"))
        return sorted(int(number) for number in found if number.isdecimal())

    def close(self) -> None:
        """Let another have the name."""
        self._lock.close()

    def __enter__(self) -> Spools:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
