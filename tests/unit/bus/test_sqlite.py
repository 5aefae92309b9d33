from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from streamer.bus.protocol import GroupToken, Load, Outgoing, Topic
from streamer.bus.sqlite import SqliteBus
from streamer.bus.sqlite_file import APPLICATION_ID, LAYOUT, connect, translate, writing
from streamer.bus.sqlite_rows import append
from streamer.clock import FakeClock
from streamer.errors import BusError, BusFull, BusUnavailable

LOG = Topic("log", 3, "delete", 86400.0)


def out(text: str, partition: int = 0) -> Outgoing:
    return Outgoing("log", partition, b"k", text.encode())


def child(program: str, *args: object) -> subprocess.Popen[str]:
    """Another process that runs `program` with `args` in sys.argv and `bus`, `out` at hand."""
    head = (
        "import sys, time, pathlib\n"
        "from streamer.bus.sqlite import SqliteBus\n"
        "from streamer.bus.protocol import GroupToken, Load, Outgoing, Topic\n"
        "def out(text, partition=0): return Outgoing('log', partition, b'k', text.encode())\n"
        "bus = SqliteBus(pathlib.Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", head + program, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def intact(path: Path) -> bool:
    with sqlite3.connect(path) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return bool(verdict == "ok")


def test_many_processes_open_a_new_bus_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    program = (
        "bus.ensure_topics([Topic('log', 3, 'delete', 86400.0)])\n"
        "producer = bus.producer('tx' + sys.argv[2])\n"
        "for i in range(60):\n"
        "    records = [out(f'{sys.argv[2]} {i} {j}', j % 3) for j in range(6)]\n"
        "    (producer.commit if i % 2 else producer.send)(records)\n"
    )
    writers = [child(program, path, name) for name in range(4)]
    bus = SqliteBus(path)
    bus.ensure_topics([LOG])
    consumer = bus.consumer(["log"])
    seen: list[tuple[int, int, str]] = []
    deadline_s = time.monotonic() + 60
    while len(seen) < 4 * 60 * 6 and time.monotonic() < deadline_s:
        seen += [(r.partition, r.offset, (r.value or b"").decode()) for r in consumer.poll(0.2)]
    for writer in writers:
        finish(writer)
    assert len(seen) == 4 * 60 * 6
    for partition in range(3):
        assert [offset for p, offset, _ in seen if p == partition] == list(range(4 * 60 * 2))
        for name in range(4):
            mine = [text.split() for p, _, text in seen if p == partition and text.startswith(f"{name} ")]
            assert mine == sorted(mine, key=lambda words: (int(words[1]), int(words[2])))
    # A transaction's records lie side by side: nobody else's are among them.
    whole = [text.rsplit(" ", 1)[0] for _, _, text in seen]
    assert all(len(set(whole[at : at + 6])) == 1 for at in range(0, len(whole), 6))
    bus.close()


def test_a_killed_writer_leaves_whole_transactions_and_an_intact_file(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    bus = SqliteBus(path)
    bus.ensure_topics([LOG])
    program = (
        "producer = bus.producer('tx')\n"
        "n = 0\n"
        "while True:\n"
        "    producer.commit([out(f'{sys.argv[2]} {n}' + 'x' * 3000, j % 3) for j in range(30)])\n"
        "    n += 1\n"
        "    print(n, flush=True)\n"
    )
    acknowledged = 0
    for life in range(4):
        writer = child(program, path, life)
        assert writer.stdout is not None
        for _ in range(3 + 4 * life):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.communicate()
        acknowledged += int(rest[-1]) if rest else 3 + 4 * life
        assert intact(path)
    consumer = bus.consumer(["log"])
    counts: dict[bytes, int] = {}
    while records := consumer.poll(0.0):
        for record in records:
            name = (record.value or b"").rstrip(b"x")
            counts[name] = counts.get(name, 0) + 1
    assert set(counts.values()) == {30}
    assert acknowledged <= len(counts) <= acknowledged + 4  # what was acknowledged is there
    bus.close()


def test_an_uncommitted_transaction_is_seen_by_nobody(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([LOG])
    other = connect(bus.path, create=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO record VALUES (99, 1, 0, 0, 0, 0.0, x'00', NULL, x'00')")
    consumer = bus.consumer(["log"], isolation="read_uncommitted")
    assert consumer.poll(0.05) == []
    other.execute("ROLLBACK")
    other.close()
    bus.close()


def test_whatever_goes_wrong_in_a_transaction_nothing_of_it_stays(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([LOG])
    other = connect(bus.path, create=False)

    def half_a_transaction() -> None:
        with writing(other, bus.path):
            append(other, [(bus.known("log"), out("a"))], 0.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_transaction()
    other.close()
    assert bus.consumer(["log"]).poll(0.0) == []
    bus.close()


def test_several_topics_are_followed_in_commit_order(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([LOG, Topic("other", 1)])
    producer = bus.producer()
    for i in range(20):
        producer.send([Outgoing("other" if i % 3 else "log", 0, b"k", str(i).encode())])
    consumer = bus.consumer(["other", "log"])
    values = [record.value for _ in range(5) for record in consumer.poll(0.0, 4)]
    assert values == [str(i).encode() for i in range(20)]
    bus.close()


def test_a_full_file_is_said_and_nothing_half_written_stays(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([LOG])
    producer = bus.producer("tx")
    assert producer._connection is not None
    producer._connection.execute("PRAGMA max_page_count = 100")
    producer.commit([out("fits")])
    with pytest.raises(BusFull, match="no space"):
        producer.commit([out("x" * 100_000, j % 3) for j in range(9)])
    producer.commit([out("fits again")])
    assert [r.value for r in bus.consumer(["log"]).poll(0.0)] == [b"fits", b"fits again"]
    bus.close()
    assert intact(tmp_path / "bus.db")


def test_a_file_size_limit_is_a_full_disk_and_no_corruption(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    program = (
        "import resource\n"
        "from streamer.errors import BusFull\n"
        "bus.ensure_topics([Topic('log', 3, 'delete', 86400.0)])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))\n"
        "producer = bus.producer('tx')\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        producer.commit([out('x' * 50_000, j % 3) for j in range(6)])\n"
        "        n += 1\n"
        "except BusFull as error:\n"
        "    print(n)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "producer.commit([out('y')])\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    n = int(finish(child(program, path)))
    assert n > 0
    bus = SqliteBus(path)
    records = bus.consumer(["log"]).poll(0.0, 10_000)
    assert len(records) == 6 * n + 1
    bus.close()
    assert intact(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_said_and_passes_when_there_is_room_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mount.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mount.stderr.strip()}")
    try:
        bus = SqliteBus(disk / "bus.db")
        bus.ensure_topics([LOG])
        producer = bus.producer("tx")
        (disk / "ballast").write_bytes(b"x" * 500_000)
        with pytest.raises(BusFull, match="no space"):
            producer.commit([out("x" * 50_000, j % 3) for j in range(30)])
        (disk / "ballast").unlink()
        producer.commit([out("fits")])
        assert [r.value for r in bus.consumer(["log"]).poll(0.0)] == [b"fits"]
        bus.close()
        assert intact(disk / "bus.db")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def refusal(path: Path, *, create: bool = True) -> str:
    with pytest.raises(BusUnavailable) as error:
        SqliteBus(path, create=create)
    return str(error.value)


def test_what_is_no_bus_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("These are no bytes of SQLite, and there are enough of them to tell. " * 20)
    assert "is not an SQLite file" in refusal(text)
    assert text.read_text().startswith("These are")
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    assert "another program's" in refusal(foreign)
    assert "another program's" in refusal(foreign, create=False)
    with sqlite3.connect(foreign) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    connection.close()
    newer = tmp_path / "newer.db"
    SqliteBus(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {LAYOUT + 1}")
    connection.close()
    assert f"layout {LAYOUT + 1}" in refusal(newer)
    assert "does not exist" in refusal(tmp_path / "nowhere" / "bus.db")
    assert "cannot write" in refusal(tmp_path)  # a folder


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    bus = SqliteBus(path)
    bus.ensure_topics([LOG])
    bus.producer().send([out("x" * 1000) for _ in range(500)])
    bus.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = os.urandom(len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(BusError, match="damaged"):
        SqliteBus(path).known("log")


@pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
def test_an_unwritable_folder_is_said() -> None:
    program = (
        "import os, sys, pathlib\n"
        "from streamer.bus.sqlite import SqliteBus\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "try: SqliteBus(pathlib.Path(sys.argv[1]))\n"
        "except BaseException as error: print(type(error).__name__, error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:  # not under pytest's own, which is closed to other users
        Path(folder).chmod(0o755)
        command = [sys.executable, "-c", program, f"{folder}/bus.db"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BusUnavailable cannot write the bus")


def test_the_file_is_marked_as_ours(tmp_path: Path) -> None:
    SqliteBus(tmp_path / "bus.db").close()
    with sqlite3.connect(tmp_path / "bus.db") as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    connection.close()


def test_commits_are_synced_and_sends_are_not(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    for producer, synchronous in ((bus.producer(), 1), (bus.producer("tx"), 2)):
        assert producer._connection is not None
        assert producer._connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    bus.close()


def test_a_lock_that_is_never_given_back_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.bus.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([LOG])
    producer = bus.producer()
    other = connect(bus.path, create=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusUnavailable, match="locked by another program"):
        producer.send([out("a")])
    other.execute("ROLLBACK")
    other.close()
    producer.send([out("b")])
    assert [r.value for r in bus.consumer(["log"]).poll(0.0)] == [b"b"]
    bus.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([LOG])
    bus.producer().send([out("a")])
    other = connect(bus.path, create=False)
    other.execute("BEGIN IMMEDIATE")
    assert [r.value for r in bus.consumer(["log"]).poll(0.0)] == [b"a"]
    assert set(bus.latest("log", 0)) == {b"k"}
    other.execute("ROLLBACK")
    other.close()
    bus.close()


def test_an_idle_poll_waits_on_its_clock_and_asks_for_no_rows(tmp_path: Path) -> None:
    clock = FakeClock()
    bus = SqliteBus(tmp_path / "bus.db", clock=clock)
    bus.ensure_topics([LOG])
    consumer = bus.consumer(["log"])
    consumer.poll(0.0)
    assert consumer._connection is not None
    statements: list[str] = []
    consumer._connection.set_trace_callback(statements.append)
    assert consumer.poll(2.0) == []
    assert clock.now_s == pytest.approx(2.0)
    assert set(statements) == {"PRAGMA data_version"}
    bus.close()


def test_latest_by_key_uses_the_index(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([Topic("table", 2, "compact")])
    statements: list[str] = []
    bus._connection.set_trace_callback(statements.append)
    bus.latest("table", 0)
    bus.latest("table", 0, [b"k"])
    bus._connection.set_trace_callback(None)
    queries = [text for text in statements if "max(id)" in text or "key =" in text]
    assert len(queries) == 2
    for query in queries:
        plan = " ".join(row[3] for row in bus._connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "record_by_key" in plan, plan
        assert "TEMP B-TREE" not in plan
    bus.close()


def test_errors_nobody_foresaw_are_bus_errors_too() -> None:
    error = translate(sqlite3.OperationalError("strange"), Path("bus.db"))
    assert isinstance(error, BusUnavailable)
    assert "strange" in str(error)


def to_layout_1(path: Path) -> None:
    """Make a bus as the first version left it."""
    with sqlite3.connect(path) as connection:
        for table in ("team", "member", "lease"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_a_file_of_layout_1_is_upgraded_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    old = SqliteBus(path)
    old.ensure_topics([LOG])
    old.producer().send([out("kept")])
    consumer = old.consumer(["log"], group="g")
    consumer.poll(1.0)
    consumer.commit()
    old.close()
    to_layout_1(path)
    buses: list[SqliteBus] = []
    threads = [threading.Thread(target=lambda: buses.append(SqliteBus(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(buses) == 8
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (LAYOUT,)
    connection.close()
    assert [record.value for record in buses[0].consumer(["log"]).poll(1.0)] == [b"kept"]
    assert buses[1].consumer(["log"], group="g").poll(0.0) == []
    for bus in buses:
        bus.close()


class Quiet:
    """A listener that wants to know nothing."""

    def assigned(self, partitions: frozenset[int]) -> None:
        pass

    def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None:
        pass

    def lost(self, partitions: frozenset[int]) -> None:
        pass


def test_members_of_an_earlier_life_of_the_machine_are_dropped(tmp_path: Path) -> None:
    clock = FakeClock(now_s=5000.0)
    before = SqliteBus(tmp_path / "bus.db", clock=clock)
    before.ensure_topics([LOG])
    before.member("log", "g", Quiet(), Load("old", 4)).poll(0.0)
    after = SqliteBus(tmp_path / "bus.db", clock=FakeClock(now_s=10.0))  # the clock began anew
    member = after.member("log", "g", Quiet(), Load("new", 4))
    member.poll(0.0)
    assert member.owned() == {0, 1, 2}
    before.close()
    after.close()


def test_a_member_is_dropped_after_its_session_and_not_before(tmp_path: Path) -> None:
    clock = FakeClock()
    bus = SqliteBus(tmp_path / "bus.db", clock=clock)
    bus.ensure_topics([LOG])
    silent = bus.member("log", "g", Quiet(), Load("a", 4), session_timeout_s=10.0)
    silent.poll(0.0)
    other = bus.member("log", "g", Quiet(), Load("b", 4), session_timeout_s=10.0)
    for _ in range(9):
        clock.advance(1.0)
        other.poll(0.0)
    assert other.owned() == frozenset()
    for _ in range(3):
        clock.advance(1.0)
        other.poll(0.0)
    assert other.owned() == {0, 1, 2}
    silent.poll(0.0)
    assert silent.owned() == frozenset()
    bus.close()


def test_an_idle_member_looks_at_shared_memory_only(tmp_path: Path) -> None:
    clock = FakeClock()
    bus = SqliteBus(tmp_path / "bus.db", clock=clock)
    bus.ensure_topics([LOG])
    member = bus.member("log", "g", Quiet(), Load("a", 4))
    member.poll(0.0)
    member.poll(0.5)
    statements: list[str] = []
    member._connection.set_trace_callback(statements.append)  # type: ignore[union-attr]
    member.poll(0.3)
    assert set(statements) == {"PRAGMA data_version"}
    bus.close()
