from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streamer.bus import sqlite_file
from streamer.bus.protocol import Incoming, Outgoing, Topic, Verdict
from streamer.bus.sqlite import SqliteBus
from streamer.clock import FakeClock
from streamer.errors import BusUnavailable

LOG, TABLE = Topic("log", 2, "delete", 3600.0), Topic("table", 2, "compact")
SECRET = b"its very own numbers"


def bytes_of(path: Path) -> bytes:
    """The database and all that lies beside it."""
    return b"".join(one.read_bytes() for one in sorted(path.parent.iterdir()) if one.name.startswith(path.name))


def of_a(record: Incoming) -> Verdict:
    return "forget" if record.key == b"stream-a" else "keep"


def write(bus: SqliteBus, *records: Outgoing) -> None:
    producer = bus.producer()
    producer.send(records)
    producer.flush(10.0)
    producer.close()


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteBus:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.2)
    bus = SqliteBus(tmp_path / "bus.db", clock=FakeClock())
    bus.ensure_topics([LOG, TABLE])
    records = []
    for number in range(300):  # more than one step, in pages of their own and beside others'
        pad = b"." * (number % 97 * 40)
        records += [
            Outgoing("log", 0, b"stream-a", SECRET + b"%d" % number + pad),
            Outgoing("log", number % 2, b"stream-b", b"stays %d" % number),
            Outgoing("table", 1, b"stream-a", SECRET + pad),
        ]
    for at in range(0, 900, 90):
        write(bus, *records[at : at + 90])
    return bus


def test_no_byte_of_what_was_erased_is_in_the_file_or_its_log(bus: SqliteBus) -> None:
    assert SECRET in bytes_of(bus.path)
    erased = bus.erase(["log", "table", "not there"], of_a)
    assert erased.removed == {"log": 300, "table": 300}
    assert {name: found.n for name, found in erased.found.items()} == {"log": 300, "table": 300}
    left = bytes_of(bus.path)
    assert SECRET not in left
    assert b"stream-a" not in left
    assert b"stream-b" in left
    assert {name: found.n for name, found in bus.find(["log", "table", "not there"], of_a).items()} == {
        "log": 0,
        "table": 0,
    }
    bus.close()


def test_bytes_that_retention_and_compaction_left_in_free_room_go_too(bus: SqliteBus) -> None:
    assert isinstance(bus.clock, FakeClock)
    bus.clock.advance(7200.0)
    bus.maintain()
    left = [record.key for record in bus.consumer(["log", "table"]).poll(0.0, 5000)]
    assert left == [b"stream-a"]  # the newest of the compacted topic
    bus.erase(["log", "table"], of_a)
    assert SECRET not in bytes_of(bus.path)
    bus.close()


def test_others_records_keep_their_places_and_readers_their_positions(bus: SqliteBus) -> None:
    reader = bus.consumer(["log"], group="reader")
    seen = reader.poll(0.0, 100)
    before = [(r.partition, r.offset, r.value) for r in bus.consumer(["log"]).poll(0.0, 5000) if r.key == b"stream-b"]
    bus.erase(["log", "table"], of_a)
    after = [(r.partition, r.offset, r.value) for r in bus.consumer(["log"]).poll(0.0, 5000)]
    assert after == before
    rest = reader.poll(0.0, 5000)
    places = [(r.partition, r.offset, r.value) for r in [*seen, *rest] if r.key == b"stream-b"]
    assert places == before
    write(bus, Outgoing("log", 0, b"stream-b", b"new"))
    assert [r.value for r in reader.poll(0.0)] == [b"new"]
    bus.close()


def test_a_value_may_stand_instead(bus: SqliteBus) -> None:
    bus.erase(["table"], lambda record: b"nothing" if record.value != b"nothing" else "keep")
    assert {r.value for r in bus.consumer(["table"]).poll(0.0, 5000)} == {b"nothing"}
    assert bus.find(["table"], lambda record: b"nothing" if record.value != b"nothing" else "keep")["table"].n == 0
    bus.close()


def test_a_program_that_keeps_reading_the_file_is_said(bus: SqliteBus) -> None:
    other = sqlite3.connect(bus.path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM record").fetchone()
    with pytest.raises(BusUnavailable, match="bytes are still in its log: stop that program and purge again"):
        bus.erase(["log", "table"], of_a)
    assert bus.find(["log", "table"], of_a)["log"].n == 0
    other.execute("ROLLBACK")
    other.close()
    bus.erase(["log", "table"], of_a)
    assert SECRET not in bytes_of(bus.path)
    bus.close()
