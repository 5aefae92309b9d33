"""The production home of the bus: Kafka, through kafka-python.

Topics are created and checked through the admin client, never by auto-creation. Records carry the broker's append
time. A consumer without a group reads all partitions; consumers of one group share them (cooperative-sticky), and so
do members, by capacity.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

import kafka
from kafka import errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.record import util as record_util
from kafka.structs import TopicPartition

from streamer.backoff import Backoff
from streamer.bus import kafka_erase, kafka_groups, kafka_topics
from streamer.bus.checks import check_topic, topic_missing
from streamer.bus.kafka_answers import hopeless, incoming, learn, unavailable
from streamer.bus.kafka_member import KafkaBusMember
from streamer.bus.kafka_options import KafkaOptions, parse
from streamer.bus.kafka_producer import KafkaBusProducer
from streamer.bus.kafka_scan import KafkaScanner
from streamer.bus.protocol import Erased, Found, GroupSeen, Incoming, Isolation, Judge, Listener, Load, Topic
from streamer.bus.read import drain
from streamer.clock import Clock, SystemClock
from streamer.config import TopicSettings
from streamer.errors import BusUnavailable, DeliveryFailed, UsageError

_BATCH_OVERHEAD_BYTES = 4096
_JOIN_MS = 3000
_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


def open_kafka(url: str, settings: TopicSettings, *, clock: Clock | None = None) -> KafkaBus:
    """The bus at a `kafka://` address; nothing is connected yet. Raises `UsageError`."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # our own errors tell; theirs go where logs go
    if record_util.crc32c_c is None:
        _log.warning("the compiled crc32c is missing, large records will be slow: install kafka-python[crc32c]")
    return KafkaBus(parse(url, settings), clock=clock)


class KafkaBus:
    """A bus on Kafka brokers. Thread-safe; producers and consumers are not."""

    def __init__(self, options: KafkaOptions, *, clock: Clock | None = None) -> None:
        self.options = options
        self.clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._admin: Any = None
        self._scanner = KafkaScanner(
            options,
            self.clock,
            lambda isolation, more: self.connect(lambda: self._client(isolation, "earliest", None, **more)),
        )
        self._partitions: dict[str, int] = {}
        self._opened: set[KafkaBusProducer | KafkaBusConsumer | KafkaBusMember] = set()
        self._closed = False

    def ensure_topics(self, topics: Iterable[Topic], *, retain: bool = False) -> list[str]:
        wanted = {topic.name: topic for topic in topics}
        existing = self._ask(kafka_topics.shapes)
        missing = [topic for name, topic in wanted.items() if name not in existing]
        if missing:
            self._ask(lambda admin: kafka_topics.create(admin, missing, self.options))
            existing = self._ask(kafka_topics.shapes)
        present = self._ask(lambda admin: kafka_topics.describe(admin, list(wanted)))
        for name, topic in wanted.items():
            check_topic(topic, existing.get(name, 0), present[name]["cleanup.policy"])
        self._partitions.update({name: existing[name] for name in wanted})
        changes = kafka_topics.differences(wanted.values(), present, self.options)
        if retain:
            self._ask(lambda admin: kafka_topics.change(admin, changes))
            return list(changes)
        for name in changes:
            if "retention.ms" in changes[name]:
                is_ms, wanted_ms = present[name]["retention.ms"], changes[name]["retention.ms"]
                _log.warning("%s keeps records %s ms, not %s: see `streamer topics create`", name, is_ms, wanted_ms)
        return []

    def producer(self, transactional_id: str | None = None) -> KafkaBusProducer:
        self._check_open()
        producer = KafkaBusProducer(self, transactional_id)
        self._opened.add(producer)
        return producer

    def consumer(
        self,
        topics: Sequence[str],
        group: str | None = None,
        start: Literal["earliest", "latest"] = "earliest",
        isolation: Isolation = "read_committed",
    ) -> KafkaBusConsumer:
        places = [TopicPartition(name, at) for name in topics for at in range(self.partitions(name))]
        client = self.connect(lambda: self._client(isolation, start, group))
        try:
            if group is not None:
                client.subscribe(list(topics))
            else:
                client.assign(places)
            learn(client, topics, self.options.wait_s)
            if group is None and start == "latest":  # now, not at the first poll
                for place, offset in client.end_offsets(places).items():
                    client.seek(place, offset)
        except errors.KafkaError as error:
            client.close()
            raise unavailable(self.options, error) from error
        consumer = KafkaBusConsumer(self, client, group)
        self._opened.add(consumer)
        return consumer

    def member(
        self,
        topic: str,
        group: str,
        listener: Listener,
        load: Load,
        *,
        whole: bool = False,
        instance: str | None = None,
        session_timeout_s: float = 10.0,
    ) -> KafkaBusMember:
        partitions = self.partitions(topic)
        identity = {} if instance is None else {"group_instance_id": instance}
        try:
            member = KafkaBusMember(
                self,
                lambda more: self.connect(
                    lambda: self._client("read_committed", "earliest", group, **more, **identity)
                ),
                topic,
                partitions,
                listener,
                load,
                whole=whole,
                session_timeout_s=session_timeout_s,
            )
        except errors.KafkaError as error:
            raise unavailable(self.options, error) from error
        self._opened.add(member)
        return member

    def latest(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes] | None = None,
        *,
        since_s: float | None = None,
        from_offset: int | None = None,
        settled: bool = False,
    ) -> dict[bytes, Incoming]:
        place = self._place(topic, partition)
        with self._lock:
            return self._scanner.latest(place, keys, since_s, from_offset, settled)

    def end_offset(self, topic: str, partition: int) -> int:
        place = self._place(topic, partition)
        with self._lock:
            return self._scanner.end_offset(place)

    def find(self, topics: Sequence[str], judge: Judge) -> dict[str, Found]:
        return self._survey(topics, judge).found

    def erase(self, topics: Sequence[str], judge: Judge) -> Erased:
        survey = self._survey(topics, judge)
        written = survey.replacements()
        producer = self.producer()
        try:
            producer.append(written, self.options.commit_timeout_s)
        finally:
            producer.close()
        self._ask(lambda admin: kafka_erase.move_beginnings(admin, survey.beginnings()))
        return kafka_erase.erased(survey, written)

    def group(self, topic: str, group: str) -> GroupSeen:
        self.partitions(topic)
        return self._ask(lambda admin: kafka_groups.seen(admin, topic, group))

    def maintain(self) -> None:
        """Nothing: the broker applies retention and compaction."""

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for opened in list(self._opened):
                opened.close()
            if self._admin is not None:
                self._admin.close()
            self._scanner.close()
            self._admin = None

    def partitions(self, name: str) -> int:
        """How many partitions a topic has; raises `TopicMissing`, or `BusUnavailable` when nobody can say."""
        if name not in self._partitions:
            self._partitions.update(self._ask(kafka_topics.shapes))
        if name not in self._partitions:
            raise topic_missing(name)
        return self._partitions[name]

    def forget(self, opened: KafkaBusProducer | KafkaBusConsumer | KafkaBusMember) -> None:
        """Called by what was closed."""
        self._opened.discard(opened)

    def connect(self, make: Callable[[], _Answer]) -> _Answer:
        """What `make` returns, tried again with back-off while the broker is away, for `wait_s` seconds."""
        deadline_s = self.clock.monotonic_s() + self.options.wait_s
        backoff = Backoff(0.1, 2.0)
        while True:
            self._check_open()
            try:
                return make()
            except errors.KafkaError as error:
                left_s = deadline_s - self.clock.monotonic_s()
                if left_s <= 0 or hopeless(error):
                    raise unavailable(self.options, error) from error
                self.clock.sleep(min(left_s, backoff.next_s()))

    def _survey(self, topics: Sequence[str], judge: Judge) -> kafka_erase.Survey:
        existing = self._ask(kafka_topics.shapes)
        there = [name for name in topics if name in existing]
        survey = kafka_erase.Survey(self._ask(lambda admin: kafka_topics.describe(admin, there)), judge)
        for name in there:  # one at a time: the library's cost grows with the square of the partitions it reads
            survey.take(drain(self, [name], "read_uncommitted"))
        survey.close()
        return survey

    def _place(self, topic: str, partition: int) -> TopicPartition:
        if not 0 <= partition < self.partitions(topic):
            raise DeliveryFailed(f"topic {topic} has no partition {partition}")
        return TopicPartition(topic, partition)

    def _ask(self, question: Callable[[Any], _Answer]) -> _Answer:
        def attempt() -> _Answer:
            with self._lock:
                if self._admin is None:
                    self._admin = kafka.KafkaAdminClient(**self.options.client(), bootstrap_timeout_ms=2000)
                try:
                    return question(self._admin)
                except errors.KafkaError:
                    self._admin.close()
                    self._admin = None
                    raise

        return self.connect(attempt)

    def _client(self, isolation: Isolation, start: str, group: str | None, **more: Any) -> Any:
        settings: dict[str, Any] = {
            "group_id": group,
            "isolation_level": isolation,
            "auto_offset_reset": start,
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "max_partition_fetch_bytes": max(1024 * 1024, self.options.max_record_bytes + _BATCH_OVERHEAD_BYTES),
            "bootstrap_timeout_ms": 2000,
            "metadata_max_age_ms": 30_000,
            "metrics_enabled": False,
        }
        if group is not None:
            settings |= {
                "session_timeout_ms": 10_000,
                "heartbeat_interval_ms": 1000,
                "partition_assignment_strategy": (CooperativeStickyAssignor,),
            }
        return kafka.KafkaConsumer(**self.options.client(), **(settings | more))

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable(f"the bus {self.options.where} was closed by this program")


class KafkaBusConsumer:
    """Reads some topics: all partitions, or with a group its share of them."""

    def __init__(self, bus: KafkaBus, client: Any, group: str | None) -> None:
        self._bus = bus
        self._client = client
        self._options = bus.options
        self._group = group
        self._closed = False

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        self._check_open()
        timeout_ms = int(timeout_s * 1000)
        try:
            if self._group is not None and self._client._coordinator.need_rejoin():
                # A join that is answered between two short polls the library forgets and begins again: wait for it.
                self._client._coordinator.poll(timeout_ms=max(timeout_ms, _JOIN_MS))
            return list(incoming(self._client.poll(timeout_ms=timeout_ms, max_records=max_records)))
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error

    def at_end(self) -> bool:
        self._check_open()
        try:
            places = list(self._client.assignment())
            if not places:
                return False  # the group has not given us our share yet
            ends = self._client.end_offsets(places)
            positions = {place: self._client.position(place, timeout_ms=1000) for place in places}
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error
        return all(at is not None and at >= ends[place] for place, at in positions.items())

    def commit(self) -> None:
        self._check_open()
        if self._group is None:
            raise UsageError("a consumer without a group has no position to commit: give it a group")
        try:
            self._client.commit(timeout_ms=int(self._options.wait_s * 1000))
        except (errors.CommitFailedError, errors.IllegalGenerationError, errors.UnknownMemberIdError) as error:
            raise DeliveryFailed(
                f"group {self._group} moved on without this member: its position was not remembered, the partition's"
                " new owner reads those records again"
            ) from error
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.close(autocommit=False, timeout_ms=1000)
            self._bus.forget(self)

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("this consumer is closed")
