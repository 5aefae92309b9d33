"""Live records on their way to a broker that may be away: straight to it, or through the spool.

Normally records go straight to the producer. When the oldest unacknowledged one is too old, or too many bytes wait,
what is unacknowledged is copied to the spool and everything new goes behind it. A thread of its own then brings the
spool to the broker, in order and in bounded batches, and forgets of it only what was acknowledged; once the spool is
empty the straight way is open again. So order holds, memory stays flat however long the broker is away, and a slow
broker shows as a long spool. Delivery is at least once.

The way begins through the spool: it delivers what an earlier process left, and a broker that is not there yet is
waited for without anybody standing still. For the same reason the first records of a topic go through the spool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from streamer import log
from streamer.backoff import Backoff
from streamer.bus.protocol import Outgoing, Producer
from streamer.bus.spool import Spool, Spooled
from streamer.clock import Clock, SystemClock
from streamer.errors import BusError, BusUnavailable, DeliveryFailed, TopicMissing

SILENT_S = 3.0
"""A producer that acknowledges nothing for so long is given up, whether or not the broker can be reached."""
MAX_UNACKNOWLEDGED_BYTES = 16 * 1024 * 1024
BATCH_RECORDS = 500
BATCH_BYTES = 1024 * 1024
_REST_RECORDS = 100
_LOOK_S = 0.1
_PAUSE_S, _MAX_PAUSE_S = 0.2, 2.0
_MAX_PATIENCE = 10
"""So many times `silent_s` a new connection may need at most: a broker that has just started is slow at first."""


class Retractable(Producer, Protocol):
    """A producer that tells what is under way and gives it back."""

    def unacknowledged_age_s(self) -> float:
        """For how long the oldest unacknowledged record has been under way."""

    def unacknowledged_bytes(self) -> int:
        """The weight of what is unacknowledged."""

    def unacknowledged_records(self) -> list[Outgoing]:
        """What is unacknowledged, oldest first."""

    def take_back(self) -> list[Outgoing]:
        """Give the connection up and return what is unacknowledged, oldest first."""


class SpooledProducer:
    """Sends over `producer`, which it owns, and through `spool`, which it owns too.

    `send`, `attend`, `flush` and `close` belong to one thread; the figures may be read by any. Records that are not
    to be `kept` never go to the spool: they are dropped while the broker is away, and `dropped_any` says so.
    `failed` is called, on a thread of its own, with what keeps the spool from being delivered for good.
    """

    def __init__(
        self,
        producer: Retractable,
        spool: Spool,
        *,
        after_s: float = 0.5,
        kept: Callable[[Outgoing], bool] = lambda _: True,
        failed: Callable[[BusError], None] = lambda _: None,
        silent_s: float = SILENT_S,
        clock: Clock | None = None,
    ) -> None:
        self._producer = producer
        self._spool = spool
        self._after_s = after_s
        self._kept = kept
        self._failed = failed
        self._silent_s = silent_s
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._away_since_s: float | None = self._clock.monotonic_s()
        self._in_doubt_up_to: int | None = None
        self._known_topics: set[str] = set()
        self._introductions: dict[str, Outgoing] = {}
        self._closing = False
        self._dropped_any = False
        self._straight = 0
        self.replayed = 0
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    @property
    def away(self) -> bool:
        """Whether records go through the spool now."""
        return self._away_since_s is not None

    @property
    def away_s(self) -> float:
        """For how long records have gone through the spool; 0 while they go straight."""
        since_s = self._away_since_s
        return 0.0 if since_s is None else self._clock.monotonic_s() - since_s

    @property
    def waiting(self) -> int:
        """How many records lie in the spool."""
        return self._spool.waiting

    @property
    def spooled(self) -> int:
        """How many records were put into the spool."""
        return self._spool.spooled

    @property
    def discarded(self) -> int:
        """How many records of the spool were discarded, oldest first, for want of space, or refused by the broker."""
        return self._spool.discarded

    @property
    def delivered(self) -> int:
        """How many records the broker was given straight and those it acknowledged from the spool."""
        return self._straight + self.replayed

    def dropped_any(self) -> bool:
        """Whether records that are not kept were dropped since the last time this said so, with the way open again."""
        with self._changed:
            if self._away_since_s is not None or not self._dropped_any:
                return False
            self._dropped_any = False
            return True

    def send(self, records: Sequence[Outgoing]) -> None:
        """Take the records, in order. Raises `DeliveryFailed` for those that can never be taken."""
        self.attend()
        with self._changed:
            if self._away_since_s is None and self._all_known(records):
                try:
                    self._producer.send(records)
                    self._straight += len(records)
                    return
                except BusUnavailable:
                    taken = {id(record) for record in self._producer.unacknowledged_records()}
                    self._straight += sum(id(record) in taken for record in records)
                    records = [record for record in records if id(record) not in taken]
            self._leave()
            self._keep(records)

    def attend(self) -> None:
        """See to it that nothing waits in memory for long: to be called a few times a second."""
        with self._changed:
            if self._away_since_s is None and (
                self._producer.unacknowledged_age_s() > self._after_s
                or self._producer.unacknowledged_bytes() > MAX_UNACKNOWLEDGED_BYTES
            ):
                self._leave()

    def flush(self) -> None:
        """Return once everything sent is acknowledged or lies in the spool. Raises `DeliveryFailed`."""
        while not self.away and self._producer.unacknowledged():
            try:
                self._producer.flush(_LOOK_S)
            except BusUnavailable:
                self.attend()
        with self._changed:
            if not self.away:
                self._producer.flush(0.0)  # it raises what it has to say of lost records

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered in `timeout_s` and free everything; the rest waits in the spool."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        try:
            self.flush()
        finally:
            with self._changed:
                self._changed.wait_for(lambda: not self.away or self._closing, max(0.0, deadline_s - self._now_s()))
                self._closing = True
                self._changed.notify_all()
            self._thread.join(1.0)  # a call to a broker that does not answer is left to itself
            with self._changed:
                if self.away:
                    self._producer.take_back()
                self._producer.close()
                if self._spool.waiting:
                    log.warning("spool.left", spool=str(self._spool.path), records=self._spool.waiting)
                self._spool.close()

    # -- the way to the spool, with the lock held -------------------------------------------------------------

    def _all_known(self, records: Sequence[Outgoing]) -> bool:
        return all(record.topic in self._known_topics for record in records)

    def _leave(self) -> None:
        """From here on everything goes through the spool, what is unacknowledged first."""
        if self._away_since_s is not None:
            return
        self._away_since_s = self._now_s()
        in_doubt = self._producer.unacknowledged_records()
        if in_doubt:
            # The producer goes on for now: a broker that is only slow still acknowledges them, and they are not sent
            # twice. But from here on they survive this process.
            self._straight -= len(in_doubt)
            self._in_doubt_up_to = self._spool.append([record for record in in_doubt if self._kept(record)])
        self._changed.notify_all()

    def _keep(self, records: Sequence[Outgoing]) -> None:
        kept = [record for record in records if self._kept(record)]
        for record in records:
            if record.topic not in self._known_topics and not self._kept(record):
                self._introductions.setdefault(record.topic, record)
        self._dropped_any = self._dropped_any or len(kept) < len(records)
        self._spool.append(kept)
        self._changed.notify_all()

    # -- the way back, on the thread of its own -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait_until_away():
                self._settle()
                self._replay()
        except BusError as error:
            self._fail(error)
        except Exception as error:  # a thread that dies silently would leave the spool growing for ever
            self._fail(BusError(f"the spool was not delivered ({type(error).__name__}: {error}): please report it"))
            log.error("spool.broke", exc_info=True)

    def _fail(self, error: BusError) -> None:
        with self._changed:
            told, self._closing = self._closing, True
            self._changed.notify_all()
        if not told:
            self._failed(error)

    def _wait_until_away(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._away_since_s is not None)
            return not self._closing

    def _settle(self) -> None:
        """Wait for what was under way when the straight way was left, or give it up when nothing is heard."""
        with self._changed:
            up_to, self._in_doubt_up_to = self._in_doubt_up_to, None
        if up_to is None:
            return
        log.info("spool.began", spool=str(self._spool.path))
        if self._acknowledged(self._silent_s):
            with self._changed:
                if not self._closing:
                    self.replayed += self._spool.remove(up_to)
            return
        log.warning("bus.away", unacknowledged=self._producer.unacknowledged())
        self._retract()

    def _acknowledged(self, silent_s: float) -> bool:
        """Whether everything given to the producer was acknowledged; false after `silent_s` without any answer."""
        left = self._producer.unacknowledged()
        silent_since_s = self._now_s()
        while not self._closing:
            try:
                self._producer.flush(_LOOK_S)
                return True
            except BusUnavailable:
                now_left = self._producer.unacknowledged()
                if now_left < left:
                    left, silent_since_s = now_left, self._now_s()
                elif self._now_s() > silent_since_s + silent_s:
                    return False
        return False

    def _retract(self) -> None:
        """Give the connection up; its records lie in the spool, those not kept are dropped."""
        with self._changed:
            if not self._closing:
                taken = self._producer.take_back()
                self._dropped_any = self._dropped_any or not all(map(self._kept, taken))

    def _replay(self) -> None:
        """Until the spool is empty and the straight way open, or this is closing."""
        backoff, patience = Backoff(_PAUSE_S, _MAX_PAUSE_S), 1
        n_alone = 0
        while batch := self._next(1 if n_alone else BATCH_RECORDS):
            try:
                self._producer.send([one.record for one in batch])
                arrived = self._acknowledged(patience * self._silent_s)
                if not arrived:
                    log.debug("bus.silent", patience=patience)
                    patience = min(_MAX_PATIENCE, 2 * patience)
            except BusUnavailable as error:
                log.debug("bus.away", reason=str(error))
                arrived = False
            except TopicMissing:
                raise  # nothing is wrong with the records
            except DeliveryFailed as error:
                self._retract()
                if len(batch) == 1:
                    self._refused(batch[0], error)
                n_alone = len(batch)  # one by one, until the one that is refused is found
                continue
            if arrived:
                backoff.reset()
                patience = 1
                n_alone = max(0, n_alone - 1)
                self._arrived(batch)
                self._deliver_rest()
                self._settle()
                continue
            self._retract()
            with self._changed:
                self._changed.wait_for(lambda: self._closing, backoff.next_s())

    def _deliver_rest(self) -> None:
        """The last few records, while nobody can add to them: else new ones would come for as long as they take."""
        with self._changed:
            batch = self._spool.oldest(_REST_RECORDS, BATCH_BYTES)
            records = [one.record for one in batch]
            if self._closing or not batch or len(batch) < self._spool.waiting or not self._all_known(records):
                return
            try:
                self._producer.send(records)
            except (BusUnavailable, DeliveryFailed):
                return  # it is met again, with nobody waiting
            try:
                self._producer.flush(self._after_s)
            except (BusUnavailable, DeliveryFailed):
                self._in_doubt_up_to = batch[-1].number
                return
            self._arrived(batch)
            self._next(1)

    def _next(self, max_records: int) -> list[Spooled]:
        """The next records to deliver; none when this is closing, or all are and the straight way is open again."""
        with self._changed:
            if self._closing:
                return []
            batch = self._spool.oldest(max_records, BATCH_BYTES)
            if not batch:  # a topic that holds nothing to be kept is made known by the first that was dropped
                batch = [Spooled(0, record) for record in self._introductions.values()]
            if not batch:
                if self.replayed and self.away_s > self._silent_s:
                    log.warning("bus.back", away_s=round(self.away_s, 1), replayed=self.replayed)
                self._away_since_s = None
                self._changed.notify_all()
            return batch

    def _arrived(self, batch: Sequence[Spooled]) -> None:
        with self._changed:
            if not self._closing:
                self.replayed += self._spool.remove(batch[-1].number)
                for one in batch:
                    self._known_topics.add(one.record.topic)
                    self._introductions.pop(one.record.topic, None)

    def _refused(self, one: Spooled, error: DeliveryFailed) -> None:
        """The broker never takes this record: it must not hold the others back, and it must be heard of."""
        with self._changed:
            if not self._closing:
                self._spool.remove(one.number, delivered=False)
        raise error

    def _now_s(self) -> float:
        return self._clock.monotonic_s()
