"""How long live frames take from the arrival of their packets to the acknowledgement of their records."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from streamer.counting import LATENCY_BUCKETS_S, Counted, Counting

LONGEST_S = LATENCY_BUCKETS_S[-2]
"""What takes longer is counted the moment it does: nothing more is to be learnt of it, and nothing piles up."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame of `work` of which records were made. `at_s`: when its packet arrived, on the monotonic clock."""

    work: str
    at_s: float


class Latencies:
    """What is under way to the bus, and how long what arrived there took.

    `given` and `look` belong to the thread that publishes, the rest to anybody. Records are taken to be acknowledged in
    the order in which they were given.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: deque[tuple[int, Sequence[Arrival]]] = deque()
        self._n_given = 0
        self._counts: dict[str, Counting] = {}

    @property
    def waiting(self) -> bool:
        """Whether an acknowledgement is waited for."""
        return bool(self._under_way)

    def given(self, n_records: int, arrivals: Sequence[Arrival]) -> None:
        """So many records were given to the bus; they are those of these frames, and others."""
        self._n_given += n_records
        if arrivals:
            self._under_way.append((self._n_given, arrivals))

    def look(self, unacknowledged: int | None, now_s: float) -> None:
        """Count what has arrived: of all that was given `unacknowledged` records are not. None while the bus is away.

        Through an outage nothing counts as arrived before all of it has: what is told is rather too long.
        """
        settled = -1 if unacknowledged is None else self._n_given - unacknowledged
        while self._under_way:
            up_to, arrivals = self._under_way[0]
            if up_to > settled and now_s - arrivals[0].at_s <= LONGEST_S:
                return
            self._under_way.popleft()
            self._count(arrivals, now_s)

    def of(self, work: str) -> Counted:
        """The frames of `work` by their latencies in seconds; empty before the first."""
        with self._lock:
            counts = self._counts.get(work)
            return Counted() if counts is None else counts.counted

    def keep(self, works: Collection[str]) -> None:
        """Forget all but these: they are over."""
        with self._lock:
            self._counts = {work: counts for work, counts in self._counts.items() if work in works}

    def _count(self, arrivals: Sequence[Arrival], now_s: float) -> None:
        with self._lock:
            for arrival in arrivals:
                counts = self._counts.get(arrival.work)
                if counts is None:
                    counts = self._counts[arrival.work] = Counting(LATENCY_BUCKETS_S)
                counts.observe(max(0.0, now_s - arrival.at_s))
