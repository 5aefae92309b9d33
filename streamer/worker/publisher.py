"""The publisher of a child: the only place where records meet the bus.

Archive batches are committed in one transaction with the state, the jobs' progress and the positions they lead to;
live batches are sent as they come, through the spool while the broker is away. Each kind has a thread and a short
queue of its own: an archive that waits for the broker decodes no further, and holds no live stream back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from streamer import log
from streamer.backoff import Backoff
from streamer.bus.protocol import Bus, GroupToken, Position, Producer
from streamer.bus.spool import Spool
from streamer.bus.spool_producer import Retractable, SpooledProducer
from streamer.config import SpoolSettings
from streamer.counting import STAGE_BUCKETS_S, Counted, Counting, total
from streamer.errors import BusError, BusUnavailable, DeliveryFailed, Fenced, TopicMissing
from streamer.worker.batch import Batch as Batch
from streamer.worker.batch import Delivery as Delivery
from streamer.worker.latency import Latencies

FLUSH_S = 10.0
ATTEMPTS = 3
"""How often in a row a transaction may fail while the broker answers: it may be its restart that shows so."""
_WAIT_S = 0.5
_ATTEND_S = 0.1
_ACKNOWLEDGED_S = 0.005
"""While records are under way, so often is asked whether they have arrived: latencies are as exact as that."""
_CLOSE_S = 3.0
_PAUSE_S, _MAX_PAUSE_S = 0.2, 2.0


@runtime_checkable
class Aging(Protocol):
    """A producer that tells for how long the oldest record has been under way; others have none under way."""

    def unacknowledged_age_s(self) -> float:
        """That time; any thread may ask."""


class Publisher:
    """Publishes the batches of each kind in order. `failed` is called once, from a thread of its own, when the bus
    refuses.

    `waiting` is called, twice a second, on the thread that waits in `publish` for a bus that is behind. `published`
    and `cpu_s` are the records on the bus and the CPU seconds they took. With a `spool`, the file in which live
    records wait while the broker is away, nothing fails for a bus that is away: archives wait for it.
    Raises `BusUnavailable` for a spool that cannot be used.
    """

    def __init__(
        self,
        bus: Bus,
        transactional_id: str,
        failed: Callable[[BusError], None],
        waiting: Callable[[], None] = lambda: None,
        depth: int = 2,
        *,
        spool: str | None = None,
        settings: SpoolSettings | None = None,
    ) -> None:
        self._bus = bus
        self._transactional_id = transactional_id
        self._failed = failed
        self._waiting = waiting
        self._depth = depth
        self._patient = spool is not None
        self._changed = threading.Condition()
        self._queues: dict[bool, deque[Batch]] = {True: deque(), False: deque()}  # by `transactional`
        self._committing: Batch | None = None
        self._unwanted: set[str] = set()
        self._barred: set[str] = set()
        self._token: GroupToken | None = None
        self._archive_away_since_s: float | None = None
        self._deadline_s: float | None = None
        self._error: BusError | None = None
        self._cpu_s = {True: 0.0, False: 0.0}
        self._passes = {True: Counting(STAGE_BUCKETS_S), False: Counting(STAGE_BUCKETS_S)}
        self.watch: Callable[[Batch, float, float], None] = lambda *_: None
        """Is told of each batch that was published, and when that began and ended on the monotonic clock."""
        self._published = {True: 0, False: 0}
        self._archive: Producer | None = None
        self._live: Producer | None = None
        self._straight: Producer | None = None
        self.latencies = Latencies()
        """How long live frames took to the acknowledgement of their records."""
        self._never_spooled: frozenset[str] = frozenset()
        self._spooled = self._open_spool(Path(spool), settings or SpoolSettings()) if spool else None
        self._running = {True, False}
        self._threads = [
            threading.Thread(target=self._run, args=(kind,), name=f"publisher {name}", daemon=True)
            for kind, name in ((True, "archive"), (False, "live"))
        ]
        for thread in self._threads:
            thread.start()

    def never_spool(self, topic: str) -> None:
        """Records of this topic are dropped while the bus is away; `dropped_any` says so afterwards."""
        self._never_spooled |= {topic}

    @property
    def cpu_s(self) -> float:
        """CPU seconds of publishing."""
        return sum(self._cpu_s.values())

    @property
    def passes(self) -> Counted:
        """The batches that were published, by the time each took."""
        return total(counting.counted for counting in self._passes.values())

    @property
    def published(self) -> int:
        """Records that are on the bus; the spool's count once they were brought there."""
        live = self._published[False] if self._spooled is None else self._spooled.delivered
        return self._published[True] + live

    @property
    def delivery(self) -> Delivery:
        """The figures of a tick."""
        since_s = self._archive_away_since_s
        archive_away_s = 0.0 if since_s is None else time.monotonic() - since_s
        spooled, live = self._spooled, self._live or self._straight
        unacknowledged = 0 if live is None else live.unacknowledged()
        age_s = _age_s(live)
        if spooled is None:
            return Delivery(archive_away_s, unacknowledged=unacknowledged, lag_s=max(archive_away_s, age_s))
        away_s = max(archive_away_s, spooled.away_s)
        return Delivery(
            away_s,
            spooled.spooled,
            spooled.replayed,
            spooled.discarded,
            spooled.waiting,
            unacknowledged,
            max(away_s, age_s),
        )

    @property
    def away(self) -> bool:
        """Whether live records go through the spool now."""
        return self._spooled is not None and self._spooled.away

    def dropped_any(self) -> bool:
        """Whether records that do not wait in the spool were dropped since this last said so, the bus being back."""
        return self._spooled is not None and self._spooled.dropped_any()

    def has_room(self, *, transactional: bool) -> bool:
        """Whether `publish` would take a batch of that kind without waiting."""
        with self._changed:
            return self._error is not None or len(self._queues[transactional]) < self._depth

    def publish(self, batch: Batch) -> None:
        """Queue a batch; waits while the bus is behind. After a failure batches are discarded: the caller ends."""
        queue = self._queues[batch.transactional]
        while self._error is None:
            with self._changed:
                if self._changed.wait_for(lambda: len(queue) < self._depth or self._error is not None, _WAIT_S):
                    for work in self._barred:
                        batch.discard(work)
                    queue.append(batch)
                    self._changed.notify_all()
                    return
            self._waiting()

    def join(self, token: GroupToken) -> None:
        """From here on commit positions as this member of the group."""
        with self._changed:
            self._token = token
            self._changed.notify_all()

    def discard(self, work: str) -> None:
        """Publish nothing more of that work, which may be somebody else's already; nothing of it is `done`.

        What is in the spool stays: it carries its own epoch. A transaction that is under way ends as it may.
        """
        with self._changed:
            self._barred.discard(work)
            self._discard(work)

    def bar(self, work: str) -> None:
        """The same from any thread, also for what its owner has yet to give: until that one says `discard` itself.

        The owner may be waiting in `publish`, for the very membership with which that work must not be committed.
        """
        with self._changed:
            self._barred.add(work)
            self._discard(work)

    def _discard(self, work: str) -> None:
        for queue in self._queues.values():
            for batch in queue:
                batch.discard(work)
        if self._committing is not None:
            self._unwanted.add(work)
        self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Publish what is queued and stop. Raises the `BusError` that kept anything from the bus."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._deadline_s = deadline_s
            self._changed.notify_all()
        grace_s = _CLOSE_S if self._patient else 0.0  # to put into the spool what was not delivered in time
        for thread in self._threads:
            thread.join(max(0.0, deadline_s + grace_s - time.monotonic()))
        if self._error is not None:
            raise self._error
        if any(thread.is_alive() for thread in self._threads):
            raise BusUnavailable(f"the bus did not take the last records within {timeout_s:g} s: look at its state")

    # -- the threads --------------------------------------------------------------------------------------------

    def _run(self, transactional: bool) -> None:
        publish = self._commit if transactional else self._send
        try:
            while (batch := self._next(transactional)) is not None:
                begun_s = time.monotonic()
                self._published[transactional] += publish(batch)
                ended_s = time.monotonic()
                self._passes[transactional].observe(ended_s - begun_s)
                self._cpu_s[transactional] = time.thread_time()
                self.watch(batch, begun_s, ended_s)
            if not transactional:
                self._finish()
        except BusError as error:
            self._fail(error)
        except Exception as error:  # a thread that dies silently would leave the loop waiting for ever
            self._fail(BusError(f"publishing failed ({type(error).__name__}: {error}): please report it"))
            log.error("publisher.broke", exc_info=True)
        finally:
            producer = self._archive if transactional else self._live
            if producer is not None:
                producer.close()
            with self._changed:
                self._running.discard(transactional)
                self._changed.notify_all()

    def _next(self, transactional: bool) -> Batch | None:
        """The next batch of the kind; None when no more can come, or something has failed."""
        queue = self._queues[transactional]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: queue or self._over(transactional), self._look_s(transactional))
                if self._error is None and queue:
                    batch = queue.popleft()
                    self._committing = batch if transactional else self._committing
                    self._changed.notify_all()
                    return batch
                if self._over(transactional):
                    return None
            if not transactional:
                self._attend()

    def _look_s(self, transactional: bool) -> float | None:
        """How long to wait for the next batch at most."""
        if transactional:
            return None
        if self.latencies.waiting and not self.away:
            return _ACKNOWLEDGED_S
        return _ATTEND_S if self._spooled is not None else None

    def _attend(self) -> None:
        if self._spooled is not None:
            self._spooled.attend()
        if self.latencies.waiting:
            live = self._live or self._straight
            n = live.unacknowledged() if live is not None and not self.away else None
            self.latencies.look(n, time.monotonic())

    def _over(self, transactional: bool) -> bool:
        # What an archive batch has in its wake is published by the live thread, which is therefore the last to end.
        return self._error is not None or (
            self._deadline_s is not None and (transactional or True not in self._running)
        )

    def _send(self, batch: Batch) -> int:
        records = [record for _, record in batch.records]
        self.latencies.given(len(records), batch.arrivals)
        if self._spooled is not None:
            self._spooled.send(records)
            if batch.done is not None:
                self._spooled.flush()
        else:
            self._live = self._live or self._bus.producer()
            self._live.send(records)
            if batch.done is not None:  # somebody waits to hear that they are delivered, not only accepted
                self._live.flush(FLUSH_S)
        self._attend()
        if batch.done is not None:
            batch.done()
        return len(records)

    def _finish(self) -> None:
        if self._spooled is not None:
            self._spooled.close(self._left_s() if self._error is None else 0.0)
        elif self._live is not None and self._error is None:
            self._live.flush(FLUSH_S)

    def _commit(self, batch: Batch) -> int:
        """Everything of the batch in one transaction, tried until it took place or its works are discarded."""
        attempts, backoff = 0, Backoff(_PAUSE_S, _MAX_PAUSE_S)
        token: GroupToken | None = None
        stale: GroupToken | None = None
        in_doubt = False
        while True:
            if not in_doubt:  # else the very same batch has to be given again: it may be visible already
                token = self._ready(batch, stale)
            if batch.empty:
                break
            try:
                self._archive = self._archive or self._bus.producer(self._transactional_id)
                self._archive.commit([record for _, record in batch.records], _position(batch, token))
                break
            except Fenced as error:
                if not batch.positions:
                    raise
                log.info("commit.fenced", reason=str(error))
                in_doubt, stale = False, token
                continue
            except BusUnavailable as error:
                if not self._patient:
                    raise
                in_doubt = True
                self._note_away(error)
            except DeliveryFailed as error:
                attempts += 1
                if not self._patient or error.refused or isinstance(error, TopicMissing) or attempts >= ATTEMPTS:
                    raise
                in_doubt = False
                self._note_away(error)
            self._pause(backoff.next_s())
        self._archive_away_since_s = None
        return self._committed(batch)

    def _ready(self, batch: Batch, stale: GroupToken | None) -> GroupToken | None:
        """Take out what was discarded, and wait for a membership that may commit the batch's positions."""
        with self._changed:
            while True:
                for work in self._unwanted:
                    batch.discard(work)
                self._unwanted.clear()
                if not batch.positions or self._token not in (None, stale):
                    return self._token
                self._check_time()
                self._changed.wait(_WAIT_S)

    def _committed(self, batch: Batch) -> int:
        with self._changed:
            for work in self._unwanted:  # too late for the records, which were committed while they were ours
                batch.follow[:] = [(owner, one) for owner, one in batch.follow if owner != work]
            self._unwanted.clear()
            self._committing = None
            self._queues[False].extend(one for _, one in batch.follow)
            self._changed.notify_all()
        if batch.done is not None and batch.records:
            batch.done()
        return len(batch.records)

    def _note_away(self, error: BusError) -> None:
        if self._archive_away_since_s is None:
            self._archive_away_since_s = time.monotonic()
            log.warning("commit.waits", reason=str(error))

    def _pause(self, duration_s: float) -> None:
        with self._changed:
            self._check_time()
            self._changed.wait_for(lambda: self._error is not None, min(duration_s, max(0.0, self._left_s())))
            self._check_time()

    def _check_time(self) -> None:
        """Raise when what could not be published until now is to be given up."""
        if self._error is not None:
            raise self._error
        if self._left_s() <= 0:
            raise BusUnavailable("the bus did not take the last records in time: look at its state")

    def _left_s(self) -> float:
        return float("inf") if self._deadline_s is None else self._deadline_s - time.monotonic()

    def _fail(self, error: BusError) -> None:
        with self._changed:
            first = self._error is None
            if first:
                self._error = error
            self._changed.notify_all()
        if first:
            self._failed(error)

    def _open_spool(self, path: Path, settings: SpoolSettings) -> SpooledProducer:
        spool = Spool(path, settings.max_bytes)
        self._straight = self._bus.producer()
        return SpooledProducer(
            cast(Retractable, self._straight),  # a bus without such producers is never away and has no spool
            spool,
            after_s=settings.after_s,
            kept=lambda record: record.topic not in self._never_spooled,
            failed=self._fail,
        )


def _age_s(producer: object) -> float:
    return producer.unacknowledged_age_s() if isinstance(producer, Aging) else 0.0


def _position(batch: Batch, token: GroupToken | None) -> Position | None:
    if not batch.positions or token is None:
        return None
    return Position(token, tuple(sorted(set(batch.positions.values()))))
