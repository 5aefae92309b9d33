"""One sentence each time a source's state changes, for whoever looks at a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.fleet.starts import PERMANENT
from streamer.progress import printable


@dataclass(slots=True)
class Sentences:
    """`say` takes a sentence, and whether somebody has to put something right. Nothing is said twice in a row."""

    say: Callable[[str, bool], None]
    clock: Clock
    _gone: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By stream: the cause, and since when it is gone."""

    def gone(self, stream: str, cause: str, message: str) -> None:
        """Its source went away, could not be reached, or has another fault than before."""
        before = self._gone.get(stream)
        if before is not None and before[0] == cause:
            return
        self._gone[stream] = (cause, before[1] if before is not None else self.clock.monotonic_s())
        reason = " ".join(message.split())
        # Most messages begin with the source's name, which often is the stream's.
        name = "" if reason.startswith(stream) else f"{stream}: "
        again = "" if "is opened again" in reason else " It is tried again."
        self.say(printable(f"{name}{reason.rstrip('.')}.{again}"), cause in PERMANENT)

    def back(self, stream: str) -> None:
        """Its source gives frames."""
        before = self._gone.pop(stream, None)
        if before is not None:
            self.say(f"{printable(stream)}: live after {self.clock.monotonic_s() - before[1]:.0f} s.", False)

    def forget(self, stream: str) -> None:
        """Nobody wants to hear of it any more."""
        self._gone.pop(stream, None)
