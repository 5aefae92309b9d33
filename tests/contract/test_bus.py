"""What both homes of the bus promise, by one suite over both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Consumer, Incoming, Outgoing, Topic
from streamer.bus.topics import partition_of
from streamer.errors import BusError, BusUnavailable, DeliveryFailed, TopicMismatch, TopicMissing, UsageError

WITHIN_S = 20.0


@pytest.fixture
def bus(bus_url: str, prefix: str) -> Iterator[Bus]:
    bus = open_bus(bus_url)
    bus.ensure_topics(
        [
            Topic(f"{prefix}.log", 4, "delete", 86400.0),
            Topic(f"{prefix}.other", 2, "delete", 86400.0),
            Topic(f"{prefix}.table", 2, "compact"),
        ]
    )
    yield bus
    bus.close()


def out(topic: str, partition: int, text: str, key: bytes = b"k") -> Outgoing:
    return Outgoing(topic, partition, key, text.encode(), (("content-type", b"text/plain"),))


def read(consumer: Consumer, n: int | None = None, within_s: float = WITHIN_S) -> list[Incoming]:
    """The next `n` records, or all up to the end."""
    records: list[Incoming] = []
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if n is not None and len(records) >= n:
            return records
        records += consumer.poll(0.2)
        if n is None and consumer.at_end():
            return records
    raise AssertionError(f"only {len(records)} records came in {within_s} s")


def texts(records: list[Incoming]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


def write(bus: Bus, *records: Outgoing) -> None:
    producer = bus.producer()
    producer.send(records)
    producer.flush(WITHIN_S)
    producer.close()


def test_records_come_back_as_they_were_sent(bus: Bus, prefix: str) -> None:
    before_s = time.time()
    headers = (("content-type", b"application/msgpack"), ("epoch", b"\x00\xff"), ("epoch", b"again"), ("leer-ß", b""))
    keys = [b"", b"\x00\xff\xfe", "Tür/日本".encode(), b"x" * 300]
    sent = [Outgoing(f"{prefix}.log", 1, key, b"v%d" % i, headers) for i, key in enumerate(keys)]
    write(bus, *sent)
    got = read(bus.consumer([f"{prefix}.log"]))
    assert [(r.topic, r.partition, r.key, r.value, r.headers) for r in got] == [
        (r.topic, r.partition, r.key, r.value, r.headers) for r in sent
    ]
    assert [r.offset for r in got] == [0, 1, 2, 3]
    assert all(before_s - 5 <= r.time_s <= time.time() + 5 for r in got)


def test_an_empty_value_is_no_tombstone(bus: Bus, prefix: str) -> None:
    write(bus, Outgoing(f"{prefix}.log", 0, b"k", b""), Outgoing(f"{prefix}.log", 0, b"k", None))
    assert [r.value for r in read(bus.consumer([f"{prefix}.log"]))] == [b"", None]


def test_each_partition_keeps_its_order_and_counts_its_own_offsets(bus: Bus, prefix: str) -> None:
    write(bus, *(out(f"{prefix}.log", i % 4, str(i)) for i in range(400)))
    got = read(bus.consumer([f"{prefix}.log"]))
    for partition in range(4):
        mine = [r for r in got if r.partition == partition]
        assert texts(mine) == [str(i) for i in range(400) if i % 4 == partition]
        assert [r.offset for r in mine] == list(range(100))


def test_two_producers_interleave_without_breaking_each_others_order(bus: Bus, prefix: str) -> None:
    first, second = bus.producer(), bus.producer()
    for i in range(50):
        first.send([out(f"{prefix}.log", 0, f"a{i}")])
        second.send([out(f"{prefix}.log", 0, f"b{i}")])
    first.flush(WITHIN_S)
    second.flush(WITHIN_S)
    got = texts(read(bus.consumer([f"{prefix}.log"])))
    assert len(got) == 100
    for letter in "ab":
        assert [text for text in got if text[0] == letter] == [f"{letter}{i}" for i in range(50)]


def test_poll_returns_at_most_what_was_asked_for(bus: Bus, prefix: str) -> None:
    write(bus, *(out(f"{prefix}.log", i % 4, str(i)) for i in range(30)))
    consumer = bus.consumer([f"{prefix}.log"])
    sizes = []
    while not consumer.at_end():
        sizes.append(len(consumer.poll(1.0, max_records=7)))
    assert sum(sizes) == 30
    assert max(sizes) <= 7


def test_an_empty_poll_takes_about_its_time_and_returns_nothing(bus: Bus, prefix: str) -> None:
    consumer = bus.consumer([f"{prefix}.log"])
    started_s = time.monotonic()
    assert consumer.poll(0.3) == []
    assert 0.2 <= time.monotonic() - started_s < 10


def test_at_end_turns_true_with_the_last_record_and_false_with_a_new_one(bus: Bus, prefix: str) -> None:
    consumer = bus.consumer([f"{prefix}.log", f"{prefix}.other"])
    assert consumer.at_end()
    write(bus, out(f"{prefix}.log", 3, "a"), out(f"{prefix}.other", 0, "b"))
    assert not consumer.at_end()
    assert sorted(texts(read(consumer, 2))) == ["a", "b"]
    assert consumer.at_end()


def test_at_end_turns_true_after_a_transaction_too(bus: Bus, prefix: str) -> None:
    bus.producer(f"{prefix}-tx").commit([out(f"{prefix}.log", 0, "a")])
    consumer = bus.consumer([f"{prefix}.log"])
    assert not consumer.at_end()
    assert texts(read(consumer)) == ["a"]


def test_latest_start_sees_only_what_comes_after(bus: Bus, prefix: str) -> None:
    write(bus, out(f"{prefix}.log", 0, "old"))
    consumer = bus.consumer([f"{prefix}.log"], start="latest")
    write(bus, out(f"{prefix}.log", 0, "new"))
    assert texts(read(consumer, 1)) == ["new"]
    assert consumer.at_end()


def test_a_follower_gets_records_while_it_waits(bus: Bus, prefix: str) -> None:
    consumer = bus.consumer([f"{prefix}.log"], start="latest")
    consumer.poll(0.0)
    for i in range(5):
        write(bus, out(f"{prefix}.log", i % 4, str(i)))
        assert texts(read(consumer, 1)) == [str(i)]


def test_a_group_goes_on_where_it_committed(bus: Bus, prefix: str) -> None:
    write(bus, *(out(f"{prefix}.log", 0, str(i)) for i in range(10)))
    first = bus.consumer([f"{prefix}.log"], group=f"{prefix}-g")
    got: list[Incoming] = []
    while len(got) < 4:
        got += first.poll(1.0, max_records=4 - len(got))
    first.commit()
    assert len(read(first, 3)) >= 3  # read, not committed
    first.close()
    second = bus.consumer([f"{prefix}.log"], group=f"{prefix}-g")
    assert texts(read(second, 6)) == [str(i) for i in range(4, 10)]
    second.close()


def test_without_a_commit_a_group_reads_again(bus: Bus, prefix: str) -> None:
    write(bus, *(out(f"{prefix}.log", 0, str(i)) for i in range(3)))
    for _ in range(2):
        consumer = bus.consumer([f"{prefix}.log"], group=f"{prefix}-g")
        assert texts(read(consumer, 3)) == ["0", "1", "2"]
        consumer.close()


def test_groups_do_not_disturb_each_other(bus: Bus, prefix: str) -> None:
    write(bus, out(f"{prefix}.log", 0, "a"))
    for group in ("one", "two"):
        consumer = bus.consumer([f"{prefix}.log"], group=f"{prefix}-{group}")
        assert texts(read(consumer, 1)) == ["a"]
        consumer.commit()
        consumer.close()


def test_a_consumer_without_a_group_has_nothing_to_commit(bus: Bus, prefix: str) -> None:
    with pytest.raises(UsageError, match="group"):
        bus.consumer([f"{prefix}.log"]).commit()


def test_a_commit_over_topics_appears_whole(bus: Bus, prefix: str) -> None:
    producer = bus.producer(f"{prefix}-tx")
    for i in range(5):
        producer.commit([out(f"{prefix}.log", i % 4, f"l{i}"), out(f"{prefix}.table", 1, f"t{i}", b"key")])
    assert sorted(texts(read(bus.consumer([f"{prefix}.log"])))) == [f"l{i}" for i in range(5)]
    assert bus.latest(f"{prefix}.table", 1)[b"key"].value == b"t4"


def test_a_refused_commit_leaves_nothing(bus: Bus, prefix: str) -> None:
    producer = bus.producer(f"{prefix}-tx")
    with pytest.raises(DeliveryFailed):
        producer.commit([out(f"{prefix}.log", 0, "a"), out(f"{prefix}.other", 9, "no such partition")])
    producer.commit([out(f"{prefix}.log", 0, "b")])
    assert texts(read(bus.consumer([f"{prefix}.log", f"{prefix}.other"]))) == ["b"]


def test_a_commit_of_nothing_is_nothing(bus: Bus, prefix: str) -> None:
    producer = bus.producer(f"{prefix}-tx")
    producer.commit([])
    producer.send([])
    producer.flush(1.0)
    assert bus.consumer([f"{prefix}.log"]).at_end()


def test_a_producer_without_a_transactional_id_cannot_commit(bus: Bus, prefix: str) -> None:
    with pytest.raises(UsageError, match="transactional id"):
        bus.producer().commit([out(f"{prefix}.log", 0, "a")])


def test_the_newer_owner_of_a_transactional_id_fences_the_older(bus: Bus, prefix: str) -> None:
    older = bus.producer(f"{prefix}-tx")
    older.commit([out(f"{prefix}.log", 0, "a")])
    newer = bus.producer(f"{prefix}-tx")
    for _ in range(2):
        with pytest.raises(DeliveryFailed, match="taken"):
            older.commit([out(f"{prefix}.log", 0, "zombie")])
    newer.commit([out(f"{prefix}.log", 0, "b")])
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == ["a", "b"]


def test_a_transactional_producer_sends_outside_transactions_too(bus: Bus, prefix: str) -> None:
    producer = bus.producer(f"{prefix}-tx")
    producer.send([out(f"{prefix}.log", 0, "a")])
    producer.flush(WITHIN_S)
    producer.commit([out(f"{prefix}.log", 0, "b")])
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == ["a", "b"]


def test_latest_is_the_newest_of_each_key_without_the_forgotten(bus: Bus, prefix: str) -> None:
    table = f"{prefix}.table"
    write(
        bus,
        *(out(table, 0, f"{key}{i}", key.encode()) for i in range(3) for key in ("a", "b", "c")),
        out(table, 1, "elsewhere", b"a"),
        Outgoing(table, 0, b"b", None),
    )
    newest = bus.latest(table, 0)
    assert {key: record.value for key, record in newest.items()} == {b"a": b"a2", b"c": b"c2"}
    assert (newest[b"c"].offset, newest[b"c"].partition) == (8, 0)
    assert set(bus.latest(table, 0, [b"c", b"b", b"nobody"])) == {b"c"}
    assert bus.latest(table, 0, []) == {}


def test_latest_works_on_a_plain_log_too_and_on_an_empty_one(bus: Bus, prefix: str) -> None:
    assert bus.latest(f"{prefix}.log", 2) == {}
    write(bus, out(f"{prefix}.log", 2, "a"), out(f"{prefix}.log", 2, "b"))
    assert texts(list(bus.latest(f"{prefix}.log", 2).values())) == ["b"]


def test_a_forgotten_key_can_come_back(bus: Bus, prefix: str) -> None:
    table = f"{prefix}.table"
    write(bus, out(table, 0, "1"), Outgoing(table, 0, b"k", None), out(table, 0, "2"))
    assert bus.latest(table, 0)[b"k"].value == b"2"


@pytest.mark.parametrize(
    "use",
    [
        lambda bus, name: bus.producer().send([Outgoing(name, 0, b"k", b"v")]),
        lambda bus, name: bus.consumer([name]),
        lambda bus, name: bus.latest(name, 0),
    ],
    ids=["send", "consumer", "latest"],
)
def test_an_unknown_topic_is_named_and_not_created(bus: Bus, prefix: str, use: Callable[[Bus, str], object]) -> None:
    for _ in range(2):
        with pytest.raises(TopicMissing, match=f"{prefix}.typo.*topics create"):
            use(bus, f"{prefix}.typo")


def test_a_record_that_is_too_large_is_refused_and_its_neighbours_are_not_taken(bus: Bus, prefix: str) -> None:
    producer = bus.producer()
    batch = [out(f"{prefix}.log", 0, "a"), Outgoing(f"{prefix}.log", 0, b"k", b"x" * 1_000_001)]
    with pytest.raises(DeliveryFailed, match="max_record_bytes") as refusal:
        producer.send(batch)
    assert refusal.value.refused == (1,)
    producer.send([Outgoing(f"{prefix}.log", 0, b"k", b"x" * 999_000)])
    producer.flush(WITHIN_S)
    (record,) = read(bus.consumer([f"{prefix}.log"]))
    assert len(record.value or b"") == 999_000


def test_a_wrong_partition_is_refused(bus: Bus, prefix: str) -> None:
    for partition in (4, -1):
        with pytest.raises(DeliveryFailed, match="partition"):
            bus.producer().send([out(f"{prefix}.log", partition, "a")])


@pytest.mark.parametrize(
    ("partitions", "cleanup", "words"), [(5, "delete", "4 partitions"), (4, "compact", "cleanup policy delete")]
)
def test_a_topic_of_another_shape_is_a_mismatch(
    bus: Bus, prefix: str, partitions: int, cleanup: str, words: str
) -> None:
    with pytest.raises(TopicMismatch, match=words):
        bus.ensure_topics([Topic(f"{prefix}.log", partitions, cleanup)])  # type: ignore[arg-type]  # one of the literals


def test_ensuring_twice_and_from_two_buses_is_once(bus: Bus, bus_url: str, prefix: str) -> None:
    shapes = [Topic(f"{prefix}.log", 4, "delete", 86400.0), Topic(f"{prefix}.late", 1, "delete,compact", 3600.0)]
    second = open_bus(bus_url)
    second.ensure_topics(shapes)
    bus.ensure_topics(shapes)
    write(bus, out(f"{prefix}.late", 0, "a"))
    assert texts(read(second.consumer([f"{prefix}.late"]))) == ["a"]
    second.close()


def test_maintain_keeps_what_is_young(bus: Bus, prefix: str) -> None:
    write(bus, *(out(f"{prefix}.table", 0, str(i)) for i in range(3)), out(f"{prefix}.log", 0, "a"))
    bus.maintain()
    assert len(read(bus.consumer([f"{prefix}.table", f"{prefix}.log"]))) == 4


def test_what_is_closed_says_so(bus_url: str, prefix: str) -> None:
    bus = open_bus(bus_url)
    bus.ensure_topics([Topic(f"{prefix}.log", 1)])
    producer, consumer = bus.producer(), bus.consumer([f"{prefix}.log"])
    producer.close()
    producer.close()
    with pytest.raises(BusUnavailable, match="closed"):
        producer.send([out(f"{prefix}.log", 0, "a")])
    consumer.close()
    consumer.close()
    with pytest.raises(BusUnavailable, match="closed"):
        consumer.poll(0.0)
    later = bus.producer()
    bus.close()
    bus.close()
    with pytest.raises(BusUnavailable, match="closed"):
        later.send([out(f"{prefix}.log", 0, "a")])
    for use in (lambda: bus.producer(), lambda: bus.latest(f"{prefix}.log", 0), lambda: bus.ensure_topics([])):
        with pytest.raises(BusError, match="closed"):
            use()


def test_closing_a_producer_delivers_what_it_can(bus: Bus, prefix: str) -> None:
    producer = bus.producer()
    producer.send([out(f"{prefix}.log", 0, str(i)) for i in range(20)])
    producer.close()
    assert len(read(bus.consumer([f"{prefix}.log"]))) == 20


def test_flush_leaves_nothing_unacknowledged(bus: Bus, prefix: str) -> None:
    producer = bus.producer()
    producer.send([out(f"{prefix}.log", partition_of(str(i), 4), str(i)) for i in range(500)])
    producer.flush(WITHIN_S)
    assert producer.unacknowledged() == 0
    assert all(
        a.offset < b.offset
        for a, b in pairwise(bus.consumer([f"{prefix}.log"]).poll(1.0))
        if a.partition == b.partition
    )


def test_an_append_tells_where_each_record_lies_and_when_it_came(bus: Bus, prefix: str) -> None:
    producer = bus.producer()
    topic = f"{prefix}.log"
    assert producer.append([], WITHIN_S) == []
    producer.send([out(topic, 0, "before")])
    placed = producer.append([out(topic, i % 2, str(i)) for i in range(5)], WITHIN_S)
    assert producer.unacknowledged() == 0
    got = {(r.partition, r.offset): r for r in read(bus.consumer([topic]))}
    for i, place in enumerate(placed):
        record = got[(i % 2, place.offset)]
        assert record.value == str(i).encode()
        assert place.time_s == pytest.approx(record.time_s, abs=0.0015)
    again = producer.append([out(topic, 0, "again")], WITHIN_S)
    assert again[0].offset == bus.end_offset(topic, 0) - 1
    assert again[0].time_s >= placed[-1].time_s


def test_an_append_that_can_never_be_taken_is_refused_whole(bus: Bus, prefix: str) -> None:
    producer = bus.producer()
    with pytest.raises(DeliveryFailed):
        producer.append([out(f"{prefix}.log", 0, "a"), out(f"{prefix}.log", 9, "b")], WITHIN_S)
    assert bus.end_offset(f"{prefix}.log", 0) == 0


def test_a_transactional_producer_appends_outside_of_its_transactions(bus: Bus, prefix: str) -> None:
    producer = bus.producer(f"{prefix}-tx")
    producer.commit([out(f"{prefix}.log", 0, "a")])
    producer.append([out(f"{prefix}.log", 0, "b")], WITHIN_S)
    assert texts(read(bus.consumer([f"{prefix}.log"]), 2)) == ["a", "b"]


def test_the_end_offset_is_the_next_records(bus: Bus, prefix: str) -> None:
    topic = f"{prefix}.table"
    assert bus.end_offset(topic, 1) == 0
    producer = bus.producer()
    for i in range(3):
        end = bus.end_offset(topic, 1)
        assert producer.append([out(topic, 1, str(i))], WITHIN_S)[0].offset == end
    assert bus.end_offset(topic, 0) == 0


def test_latest_looks_only_from_an_offset_on(bus: Bus, prefix: str) -> None:
    topic = f"{prefix}.table"
    producer = bus.producer()
    placed = producer.append([out(topic, 0, f"{key}{i}", key.encode()) for i in range(2) for key in "abc"], WITHIN_S)
    from_b1 = bus.latest(topic, 0, from_offset=placed[4].offset)
    assert {key: record.value for key, record in from_b1.items()} == {b"b": b"b1", b"c": b"c1"}
    assert bus.latest(topic, 0, [b"a"], from_offset=placed[4].offset) == {}
    assert bus.latest(topic, 0, from_offset=bus.end_offset(topic, 0)) == {}


def test_latest_looks_only_since_a_time(bus: Bus, prefix: str) -> None:
    topic = f"{prefix}.table"
    producer = bus.producer()
    old = producer.append([out(topic, 0, "old", b"a"), out(topic, 0, "old", b"b")], WITHIN_S)
    time.sleep(0.05)
    new = producer.append([out(topic, 0, "new", b"b"), out(topic, 0, "new", b"c")], WITHIN_S)
    since_s = (old[-1].time_s + new[0].time_s) / 2
    assert sorted(bus.latest(topic, 0, since_s=since_s)) == [b"b", b"c"]
    assert sorted(bus.latest(topic, 0, since_s=old[0].time_s - 1)) == [b"a", b"b", b"c"]
    assert bus.latest(topic, 0, since_s=new[-1].time_s + 60) == {}


def test_latest_is_settled_at_once_where_nothing_is_open(bus: Bus, prefix: str) -> None:
    topic = f"{prefix}.table"
    bus.producer(f"{prefix}-tx").commit([out(topic, 0, "a")])
    started_s = time.monotonic()
    assert texts(list(bus.latest(topic, 0, settled=True).values())) == ["a"]
    assert time.monotonic() - started_s < 20
