"""What the topics said of each stream, with the broker's time of each record."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from streamer.bench.fleet.view import View
from streamer.bus.protocol import Incoming
from streamer.messages import Observation, Status


@dataclass(frozen=True, slots=True)
class Change:
    """A stream's source became something else. `at_s` is wall time, the broker's."""

    at_s: float
    state: str
    cause: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A face in a frame: when its record came, when it was captured, on which connection, of which track."""

    at_s: float
    capture_s: float | None
    media_s: float
    session: str
    track: tuple[int, int]
    state: str
    state_age_s: float


@dataclass(slots=True)
class Page:
    """One stream's."""

    changes: list[Change] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    status: Status | None = None
    epochs: set[int] = field(default_factory=set)

    def changed(self, states: frozenset[str], since_s: float) -> Change | None:
        """The first change to one of these states at or after a wall time."""
        return next((one for one in self.changes if one.at_s >= since_s and one.state in states), None)

    def first_seen(self, since_s: float, not_session: str | None = None) -> Seen | None:
        """The first face at or after a wall time; with `not_session`, on another connection than that."""
        found = None
        for one in reversed(self.seen):
            if one.at_s < since_s:
                break
            if one.session != not_session:
                found = one
        return found


class Diary:
    """Give `hear` to a view. With `keep_seen` False faces are counted by the view and kept nowhere."""

    def __init__(self, *, keep_seen: bool = True) -> None:
        self.pages: defaultdict[str, Page] = defaultdict(Page)
        self._keep_seen = keep_seen

    def __getitem__(self, stream: str) -> Page:
        return self.pages[stream]

    def hear(self, record: Incoming, value: msgspec.Struct) -> None:
        """Write down what a record says."""
        match value:
            case Status():
                page = self.pages[value.stream]
                page.epochs.add(value.epoch)
                if page.status is not None and (value.epoch, value.seq) <= (page.status.epoch, page.status.seq):
                    return
                if page.status is None or page.status.state != value.state:
                    page.changes.append(Change(record.time_s, value.state, value.cause))
                page.status = value
            case Observation() if self._keep_seen:
                self.pages[value.stream].seen.append(
                    Seen(
                        record.time_s,
                        value.capture_time_s,
                        value.media_time_s,
                        value.session,
                        (value.track.epoch, value.track.number),
                        value.state,
                        value.state_age_s,
                    )
                )
            case _:
                pass


def look_until(view: View, wall_s: float) -> None:
    """Read on until a wall time."""

    while (left_s := wall_s - time.time()) > 0:
        view.look(min(0.1, left_s))
