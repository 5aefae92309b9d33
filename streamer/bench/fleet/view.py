"""What the topics say of a fleet, read as it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from streamer.bus.protocol import Bus, Incoming
from streamer.bus.topics import content_type
from streamer.client import kind_of
from streamer.errors import BusUnavailable
from streamer.messages import DeadLetter, JobStatus, Observation, Status, decode

Heard = Callable[[Incoming, msgspec.Struct], None]
USUAL = ("status", "jobs.status", "deadletter", "observations")
_POLL_S = 0.1


class View:
    """The newest status of every stream and of every job, and all dead letters. `look` reads on.

    `heard_s` is the broker's time of a stream's newest status, `n_observations` counts by stream. `heard` is called
    for each record with its place.
    """

    def __init__(
        self,
        bus: Bus,
        prefix: str,
        topics: Sequence[str] = USUAL,
        heard: Heard | None = None,
    ) -> None:
        self.prefix = prefix
        self.heard = heard
        self.statuses: dict[str, Status] = {}
        self.heard_s: dict[str, float] = {}
        self.jobs: dict[str, JobStatus] = {}
        self.letters: list[DeadLetter] = []
        self.n_observations: Counter[str] = Counter()
        self._consumer = bus.consumer([f"{prefix}.{name}" for name in topics])

    def look(self, timeout_s: float = _POLL_S) -> int:
        """Read what is there; returns how many records came. A bus that is away has none."""
        try:
            records = self._consumer.poll(timeout_s)
        except BusUnavailable:
            return 0
        for record in records:
            self._take(record)
        return len(records)

    def state(self, stream: str) -> str | None:
        """What was last said of a stream."""
        status = self.statuses.get(stream)
        return None if status is None else status.state

    def owner(self, stream: str) -> str | None:
        """The worker that last spoke for a stream: its name is the beginning of the run's."""
        status = self.statuses.get(stream)
        return None if status is None else status.run.rsplit("-", 2)[0]

    def live(self, streams: Iterable[str], since_s: float) -> list[str]:
        """Those of the streams that were said to be live at or after this wall time."""
        return [one for one in streams if self.state(one) == "live" and self.heard_s[one] >= since_s]

    def close(self) -> None:
        """Free the connection."""
        self._consumer.close()

    def _take(self, record: Incoming) -> None:
        kind = kind_of(record.topic, self.prefix, record.key)
        if kind is None or record.value is None:
            return
        value = decode(record.value, kind, content_type(record.headers))
        match value:
            case Status():
                known = self.statuses.get(value.stream)
                if known is None or (known.epoch, known.seq) <= (value.epoch, value.seq):
                    self.statuses[value.stream], self.heard_s[value.stream] = value, record.time_s
            case JobStatus():
                self.jobs[value.job] = value
            case DeadLetter():
                self.letters.append(value)
            case Observation():
                self.n_observations[value.stream] += 1
            case _:
                pass
        if self.heard is not None:
            self.heard(record, value)
