"""The states of a source as a machine, and the deadlines that a live one must keep. Pure: the time is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from streamer.config import ConnectSettings
from streamer.errors import SourceError, SourceExpired, SourceStalled
from streamer.messages import Mode, SourceState

Phase = Literal["preparing", "resolving", "opening", "waiting", "reading", "offering", "over"]
"""What the thread of a connection is doing: reading its stored state, finding an address, opening it, waiting for the
loop, reading frames, handing one over, nothing any more."""

NEXT: Mapping[SourceState, frozenset[SourceState]] = {
    "connecting": frozenset(("live", "stalled", "backing_off", "ended", "failed")),
    "live": frozenset(("stalled", "backing_off", "ended", "failed")),
    "stalled": frozenset(("connecting", "ended", "failed")),
    "backing_off": frozenset(("connecting", "ended", "failed")),
    "ended": frozenset(),
    "failed": frozenset(),
}
"""What may follow. A child's states only: `waiting` and `paused` are the supervisor's to say."""

LOOK_S = 0.1
"""Between two looks at a connection."""
NOTICED_SHARE = 0.9
"""Silence counts as too long a little before the deadline: by then it is to be known on the bus."""
RESOLVE_S = 60.0
"""Finding the address of a page's video takes several requests, each with a time limit of its own."""
SLACK_S = 2.0
"""FFmpeg's own time limits come first: a thread that ends by itself is not left behind."""
UNDECODABLE_TIMES = 6
"""Packets come but no frame does, for so many times the deadline: key frames may be ten seconds apart."""
ARCHIVE_S = 60.0
"""An archive is in no hurry, but nothing takes this long between two packets except a decoder that hangs."""
RENEW_BEFORE_S, RENEW_SHARE = 30.0, 0.2
"""An address is renewed so long before it expires, or in the last part of its life where that is shorter."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a connection: what its thread is at and since when, its last sign of life, its last frame.

    Times are on the monotonic clock; `frame_s` None before the first frame. The address was found at `found_at_s` and
    is good until `expires_at_s`, both on the wall clock.
    """

    phase: Phase
    since_s: float
    beat_s: float
    frame_s: float | None
    found_at_s: float = 0.0
    expires_at_s: float | None = None


@dataclass(slots=True)
class SourceWatch:
    """Where a source stands. `entered_s` is when it came there, on the monotonic clock; `entries` how often it has."""

    settings: ConnectSettings
    mode: Mode
    name: str
    state: SourceState = "connecting"
    entered_s: float = 0.0
    entries: dict[SourceState, int] = field(default_factory=lambda: {"connecting": 1})

    def enter(self, state: SourceState, now_s: float) -> bool:
        """Go to `state`; False when it is there already. Raises `ValueError` for what cannot follow."""
        if state == self.state:
            return False
        if state not in NEXT[self.state]:
            raise ValueError(f"a source that is {self.state} cannot become {state}")
        self.state, self.entered_s = state, now_s
        self.entries[state] = self.entries.get(state, 0) + 1
        return True

    def overdue(self, signs: Signs, now_s: float, wall_s: float) -> SourceError | None:
        """Why its connection must be given up now; None while all is well."""
        settings = self.settings
        waited_s = now_s - max(signs.since_s, signs.beat_s)
        if signs.phase in ("preparing", "waiting", "offering", "over"):
            return None
        if self.mode == "archive":
            return self._stalled(waited_s) if signs.phase != "resolving" and waited_s > ARCHIVE_S else None
        if signs.phase == "resolving":
            return self._stalled(waited_s) if waited_s > RESOLVE_S else None
        if signs.phase == "opening":
            return self._stalled(waited_s) if waited_s > settings.open_timeout_s + SLACK_S else None
        if waited_s >= NOTICED_SHARE * settings.no_frame_s:
            return self._stalled(waited_s)
        unseen_s = now_s - max(signs.since_s, signs.since_s if signs.frame_s is None else signs.frame_s)
        if unseen_s > UNDECODABLE_TIMES * settings.no_frame_s:
            return SourceStalled(
                f"{self.name} sends data but no picture in {unseen_s:.0f} s: it is opened again; check its encoder."
            )
        if signs.expires_at_s is not None:
            margin_s = min(RENEW_BEFORE_S, RENEW_SHARE * max(0.0, signs.expires_at_s - signs.found_at_s))
            if wall_s >= signs.expires_at_s - margin_s:
                return SourceExpired(f"{self.name}: the address of its video expires: it is found anew.")
        return None

    def _stalled(self, waited_s: float) -> SourceStalled:
        return SourceStalled(f"{self.name} has given nothing for {waited_s:.0f} s: it is opened again.")
