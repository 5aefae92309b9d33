"""Disk space that is really there, so that a disk that fills up costs records and never gets the spool stuck.

SQLite finds out that a file cannot grow only when it moves its log into it, which is too late: the log can then be
neither emptied nor written, not even to delete. So the file grows here, in steps, before anything is put into it, and
SQLite is told to stay within. A file without content is kept in reserve for the log.
"""

from __future__ import annotations

import os
from pathlib import Path

STEP_BYTES = 1024 * 1024
RESERVE_BYTES = 4 * 1024 * 1024


class Ground:
    """The blocks under a file. Open it before SQLite opens the file, and close it after: closing drops its locks."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._max_bytes = max_bytes

    @property
    def n_bytes(self) -> int:
        """The size of the file."""
        return os.fstat(self._descriptor).st_size

    def grow(self) -> bool:
        """Add a step; false at the bound, or when the disk has no more."""
        size = self.n_bytes
        step = min(STEP_BYTES, self._max_bytes - size)
        if step <= 0:
            return False
        try:
            os.posix_fallocate(self._descriptor, size, step)
        except OSError:
            if self.n_bytes > size:
                os.ftruncate(self._descriptor, size)
            return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class Reserve:
    """A file of real blocks at `path`, smaller where the spool itself is small."""

    def __init__(self, path: Path, spool_bytes: int) -> None:
        self._path = path
        self._n_bytes = min(RESERVE_BYTES, max(4096, spool_bytes // 8))
        self._held = False

    def take(self) -> None:
        """Have the space; where the disk does not give it now, do without."""
        if self._held:
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._n_bytes)
            finally:
                os.close(descriptor)
            self._held = True
        except OSError:
            self.free()

    def free(self) -> bool:
        """Give the space back; false when there is none."""
        held, self._held = self._held, False
        self._path.unlink(missing_ok=True)
        return held
