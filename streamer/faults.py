"""Named places at which a process can be made to die, so that tests can kill it exactly there.

Costs nothing where nobody armed anything; the caller of `arm` decides whether anything may be armed at all.
"""

from __future__ import annotations

import os
import signal

from streamer.errors import UsageError

_left: dict[str, int] = {}
_with_parent: set[str] = set()


def arm(spec: str, *, with_parent: bool = False) -> None:
    """Have the process killed (SIGKILL) at the n-th passage of a point: `"commit.records:3"`, several with commas.

    `with_parent`: the process that started it dies too, a moment before. Raises `UsageError` for anything else.
    """
    for part in spec.split(","):
        name, _, count = part.strip().rpartition(":")
        if not name or not count.isdigit() or int(count) < 1:
            raise UsageError(f"write a fault as point:n, as in commit.records:3, not {part.strip()!r}")
        _left[name] = int(count)
        if with_parent:
            _with_parent.add(name)


def at(point: str) -> None:
    """Passing `point`; returns unless its time has come."""
    if point not in _left:
        return
    _left[point] -= 1
    if _left[point] == 0:
        if point in _with_parent:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
