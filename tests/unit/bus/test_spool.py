from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.bus.protocol import Outgoing
from streamer.bus.spool import Spool
from streamer.errors import BusUnavailable

LARGE = 64 * 1024 * 1024


def record(n: int, size: int = 20) -> Outgoing:
    return Outgoing("t", n % 3, b"key %d" % n, b"%d " % n + b"x" * size, (("content-type", b"text"),))


def number(one: Outgoing) -> int:
    return int((one.value or b"").split()[0])


def numbers(spool: Spool) -> list[int]:
    found = [number(one.record) for one in spool.oldest(1_000_000, LARGE)]
    assert len(found) == spool.waiting
    return found


def image(path: Path, folder: Path) -> Path:
    """The files as a crash at this moment leaves them."""
    for ending in ("", "-wal"):
        source = path.with_name(path.name + ending)
        if source.exists():
            shutil.copy(source, folder / source.name)
    return folder / path.name


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings."""
    events: list[str] = []
    monkeypatch.setattr("streamer.log.warning", lambda event, **names: events.append(event))
    return events


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", LARGE)
    records = [
        record(1),
        Outgoing("other", 7, b"", None, ()),
        Outgoing("t", 0, b"\x00\xff", b"", (("a", b""), ("a", b"b"))),
    ]
    last = spool.append(records)
    found = spool.oldest(10, LARGE)
    assert [one.record for one in found] == records
    assert found[-1].number == last
    assert [one.record for one in spool.oldest(2, LARGE)] == records[:2]
    assert [one.record for one in spool.oldest(10, 1)] == records[:1]  # at least one, however large
    spool.close()


class Model(RuleBasedStateMachine):
    """Against a list: what waits is the list's end, whatever crashed in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.n_folders = 0
        self.max_bytes = 128 * 1024
        self.spool = Spool(self.folder / "spool.db", self.max_bytes)
        self.appended = 0
        self.gone = 0  # delivered or discarded: all below

    @rule(n=st.integers(0, 60), size=st.sampled_from([1, 300, 5000]))
    def append(self, n: int, size: int) -> None:
        before = self.spool.discarded
        self.spool.append([record(self.appended + at, size) for at in range(n)])
        self.appended += n
        self.gone += self.spool.discarded - before

    @precondition(lambda self: self.spool.waiting)
    @rule(n=st.integers(1, 40))
    def deliver(self, n: int) -> None:
        batch = self.spool.oldest(n, LARGE)
        assert self.spool.remove(batch[-1].number) == len(batch)
        self.gone += len(batch)

    @rule()
    def crash(self) -> None:
        self.n_folders += 1
        folder = self.folder / str(self.n_folders)
        folder.mkdir()
        path = image(self.spool.path, folder)
        self.spool.close()
        self.spool = Spool(path, self.max_bytes)

    @invariant()
    def the_newest_wait_in_order(self) -> None:
        assert numbers(self.spool) == list(range(self.gone, self.appended))
        assert self.spool.path.stat().st_size <= self.max_bytes

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@given(sizes=st.lists(st.integers(0, 60_000), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_at_the_bound_the_oldest_go_and_are_counted(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool.db", 100_000)
        for n, size in enumerate(sizes):
            spool.append([record(n, size)])
        kept = numbers(spool)
        assert kept == list(range(len(sizes) - len(kept), len(sizes)))
        assert kept
        assert spool.discarded == len(sizes) - len(kept)
        assert spool.spooled == len(sizes)
        spool.close()


def test_a_record_larger_than_the_spool_is_discarded_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 1)
    spool.append([record(0, 500_000)])
    assert (spool.waiting, spool.discarded) == (0, 1)
    spool.append([record(1), record(2, 500_000), record(3)])
    assert numbers(spool)[-1] == 3
    assert spool.discarded == 3 - spool.waiting + 1
    spool.close()


def test_numbers_are_not_given_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", LARGE)
    first = spool.append([record(0)])
    spool.remove(first)
    second = spool.append([record(1)])
    assert second > first
    assert spool.remove(first) == 0  # an answer that comes late
    assert numbers(spool) == [1]
    spool.close()


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from streamer.bus.spool import Spool
from tests.unit.bus.test_spool import numbers, record

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), 64 * 1024 * 1024)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))  # no file may grow over this
for at in range(0, 5000, 50):
    spool.append([record(at + n, 1000) for n in range(50)])
kept = numbers(spool)
assert kept == list(range(5000 - len(kept), 5000)), kept
assert len(kept) >= 1000, len(kept)
assert spool.discarded == 5000 - len(kept)
spool.remove(spool.oldest(50, 10**9)[-1].number)
spool.append([record(5000)])
assert numbers(spool)[-1] == 5000
spool.close()
again = Spool(Path(sys.argv[1]), 64 * 1024 * 1024)
assert numbers(again)[-1] == 5000
assert again._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
"""


def test_a_full_disk_costs_the_oldest_records_and_damages_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "spool.db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_a_file_that_cannot_grow_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.bus.spool_space.STEP_BYTES", 40_000)
    spool = Spool(tmp_path / "spool.db", LARGE)
    spool.append([record(n, 500) for n in range(20)])
    monkeypatch.setattr(spool._ground, "grow", lambda: False)
    for n in range(20, 200):
        spool.append([record(n, 500)])
    kept = numbers(spool)
    assert kept == list(range(200 - len(kept), 200))
    assert 20 < len(kept) < 100
    assert spool.discarded == 200 - len(kept)
    spool.close()


def test_an_emptied_spool_gives_its_space_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", LARGE)
    last = spool.append([record(n, 100_000) for n in range(300)])
    spool.remove(last - 1)
    assert spool.path.stat().st_size > 20_000_000
    spool.remove(last)
    assert spool.path.stat().st_size < 100_000
    spool.append([record(1)])
    assert numbers(spool) == [1]
    spool.close()


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.bus.spool.LOCK_WAIT_S", 0.1)
    spool = Spool(tmp_path / "spool.db", LARGE)
    with pytest.raises(BusUnavailable, match="in use by another process"):
        Spool(tmp_path / "spool.db", LARGE)
    spool.close()
    Spool(tmp_path / "spool.db", LARGE).close()


@pytest.mark.parametrize("kind", ["text", "foreign", "foreign and nameless", "newer", "truncated"])
def test_a_file_that_is_no_spool_is_moved_aside(tmp_path: Path, kind: str, said: list[str]) -> None:
    path = tmp_path / "spool.db"
    if kind == "text":
        path.write_bytes(b"somebody's diary, not a database" * 200)
    elif kind == "truncated":
        spool = Spool(path, LARGE)
        spool.append([record(n, 3000) for n in range(100)])
        spool.close()
        path.write_bytes(path.read_bytes()[:2000])
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (a)")
            if kind == "foreign":
                connection.execute("PRAGMA application_id = 7")
            if kind == "newer":
                connection.execute("PRAGMA application_id = 0x61667370")
                connection.execute("PRAGMA user_version = 9")
        connection.close()
    before = path.read_bytes()
    spool = Spool(path, LARGE)
    assert spool.waiting == 0
    spool.append([record(1)])
    assert numbers(spool) == [1]
    assert path.with_name("spool.db.damaged-1").read_bytes() == before
    assert said == ["spool.moved_aside"]
    spool.close()


def test_damage_while_it_is_in_use_costs_what_waited_and_is_counted(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "spool.db"
    spool = Spool(path, LARGE)
    spool.append([record(n, 3000) for n in range(100)])
    spool.close()
    spool = Spool(path, LARGE)
    spool._connection.execute("PRAGMA shrink_memory")  # else it answers from what it has read
    with path.open("r+b") as file:  # all but the first page
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    assert spool.oldest(10, LARGE) == []
    assert (spool.waiting, spool.discarded) == (0, 100)
    assert said == ["spool.moved_aside"]
    spool.append([record(100)])
    assert numbers(spool) == [100]
    spool.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BusUnavailable, match=r"file/spool.db.*spool.folder"):
        Spool(tmp_path / "file" / "spool.db", LARGE)


_APPENDING = """
import sys
from pathlib import Path
from streamer.bus.spool import Spool
from tests.unit.bus.test_spool import record

spool = Spool(Path(sys.argv[1]), 64 * 1024 * 1024)
at = 0
while True:
    spool.append([record(at + n) for n in range(7)])
    at += 7
    print(at, flush=True)
"""


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with subprocess.Popen([sys.executable, "-c", _APPENDING, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = 0
        while told < 700:
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    told = int(rest[-1]) if rest else told
    spool = Spool(path, LARGE)
    found = numbers(spool)
    assert found == list(range(len(found)))
    assert len(found) - told in (0, 7)
    spool.close()
