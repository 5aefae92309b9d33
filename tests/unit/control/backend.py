"""A process that remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.control.words import Change, Health, Readiness, StreamShown, Unknown, Wish
from streamer.metrics import Metrics


@dataclass
class Remembering:
    """Fails with `error` where there is one; `hold` is called before each answer."""

    metrics: Metrics = field(default_factory=Metrics)
    wishes: dict[str, Wish] = field(default_factory=dict)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    ready: Readiness = field(default_factory=lambda: Readiness(ready=True))
    error: Exception | None = None
    hold: Callable[[], object] = lambda: None

    def health(self) -> Health:
        self._look()
        return Health(role="run", run="r", streams=len(self.wishes), children=1)

    def readiness(self) -> Readiness:
        self._look()
        return self.ready

    def streams(self) -> list[StreamShown]:
        self._look()
        return [
            StreamShown(stream=name, source=wish.source, mode="live", state="live")
            for name, wish in sorted(self.wishes.items())
        ]

    def put(self, stream: str, wish: Wish) -> str:
        self._look()
        done = "replaced" if stream in self.wishes else "added"
        self.wishes[stream] = wish
        return done

    def change(self, stream: str, change: Change) -> str:
        self._look()
        self._known(stream)
        self.changes.append((stream, change))
        return "changed"

    def remove(self, stream: str) -> str:
        self._look()
        self._known(stream)
        del self.wishes[stream]
        return "removed"

    def _known(self, stream: str) -> None:
        if stream not in self.wishes:
            raise Unknown(f"there is no stream {stream}")

    def _look(self) -> None:
        self.hold()
        if self.error is not None:
            raise self.error
