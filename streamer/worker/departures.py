"""Partitions that go to other workers, and what of theirs is still here."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class Departures:
    """Owned by the supervisor's loop. Says `done` of partitions once no child has any work of theirs."""

    _waiting: list[tuple[set[str], threading.Event]] = field(default_factory=list)

    def begin(self, works: Collection[str], done: threading.Event) -> None:
        """These works are to leave; `done` is set when they have, at once where there are none."""
        self._waiting.append((set(works), done))
        self._tell()

    def left(self, work: str) -> None:
        """It is not here any more."""
        for works, _ in self._waiting:
            works.discard(work)
        self._tell()

    @property
    def busy(self) -> bool:
        """Whether anything that is to leave is still here."""
        return bool(self._waiting)

    def _tell(self) -> None:
        for works, done in self._waiting:
            if not works:
                done.set()
        self._waiting = [one for one in self._waiting if one[0]]
