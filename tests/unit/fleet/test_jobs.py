from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.bus.protocol import Incoming
from streamer.fleet.jobs import JobBook
from streamer.fleet.retry import first_status
from tests.unit.fleet.control import admission, cancel_record, job_record, make_job, status_record


@pytest.fixture
def book() -> JobBook:
    return JobBook(admission())


def ids(book: JobBook, now_s: float = 0.0, slots: int = 100) -> list[str]:
    return [entry.job.job for entry in book.due(now_s, slots)]


def test_jobs_are_due_in_the_order_of_submission_for_as_many_slots_as_there_are(book: JobBook) -> None:
    book.take(job_record(make_job("late", submitted_s=2.0), 0))
    book.take(job_record(make_job("early", submitted_s=1.0), 5, partition=3))
    assert ids(book, slots=1) == ["early"]
    book.started("early")
    assert ids(book) == ["late"]
    assert ids(book, slots=0) == []
    book.stopped("early")
    assert ids(book) == ["early", "late"]


def test_the_position_is_the_lowest_unfinished_and_behind_the_last_when_none_is(book: JobBook) -> None:
    assert book.lowest_unfinished(0) is None
    for offset, name in ((4, "a"), (5, "b"), (9, "c")):
        book.take(job_record(make_job(name), offset))
    assert book.lowest_unfinished(0) == 4
    book.started("b")
    book.ended("b")
    assert book.lowest_unfinished(0) == 4
    book.ended("a")
    assert book.lowest_unfinished(0) == 9
    book.ended("c")
    assert book.positions() == {0: 10}
    assert book.counts() == {0: 0}


def test_a_job_whose_end_is_not_on_the_bus_holds_the_position(book: JobBook) -> None:
    for offset, name in ((4, "a"), (5, "b")):
        book.take(job_record(make_job(name), offset))
    entry = book.get("a")
    assert entry is not None
    book.hold(entry)
    book.note(msgspec.structs.replace(first_status(entry.job), state="retrying", attempt=2), entry.partition)
    assert ids(book) == ["b"]
    assert (book.lowest_unfinished(0), book.lowest_unfinished(0, {4})) == (4, 5)
    book.take(job_record(make_job("a", attempt=2), 6))
    assert ids(book) == ["b", "a"]
    book.release(entry.record)
    assert book.lowest_unfinished(0) == 5


def test_a_record_whose_rejection_is_not_on_the_bus_holds_the_position(book: JobBook) -> None:
    record = replace(job_record(make_job("a"), 4), value=b"no job")
    rejected = book.take(record)
    assert rejected is not None
    book.keep(rejected)
    assert book.lowest_unfinished(0) == 4
    book.release(record)
    assert book.lowest_unfinished(0) == 5
    book.drop({0})
    book.release(record)
    assert book.lowest_unfinished(0) is None


def test_of_jobs_that_are_over_little_is_kept(book: JobBook) -> None:
    book.take_status(status_record(msgspec.structs.replace(first_status(make_job("a")), state="done")))
    assert book.status("a") is None
    book.take(job_record(make_job("a"), 0))
    assert ids(book) == []


def test_a_job_that_is_over_or_has_a_later_attempt_is_not_done_again(book: JobBook) -> None:
    done = msgspec.structs.replace(first_status(make_job("done")), state="done")
    later = msgspec.structs.replace(first_status(make_job("later")), state="retrying", attempt=2)
    book.take_status(status_record(done))
    book.take_status(status_record(later))
    book.take(job_record(make_job("done"), 0))
    book.take(job_record(make_job("later"), 1))
    assert ids(book) == []
    assert book.lowest_unfinished(0) == 2
    book.take(job_record(make_job("later", attempt=2), 2))
    assert ids(book) == ["later"]
    assert book.lowest_unfinished(0) == 2


def test_a_status_that_comes_after_the_job_ends_it_unless_it_runs_here(book: JobBook) -> None:
    for offset, name in enumerate(("waits", "runs")):
        book.take(job_record(make_job(name), offset))
    book.started("runs")
    for name in ("waits", "runs"):
        book.take_status(status_record(msgspec.structs.replace(first_status(make_job(name)), state="done")))
    assert book.get("waits") is None
    assert book.get("runs") is not None
    assert book.lowest_unfinished(0) == 1


def test_a_retry_waits_for_its_time(book: JobBook) -> None:
    book.take(job_record(make_job("a", attempt=2, not_before_s=100.0), 0))
    assert ids(book, 99.0) == []
    assert ids(book, 100.0) == ["a"]


def test_the_same_record_or_the_same_wish_twice_is_one_job(book: JobBook) -> None:
    book.take(job_record(make_job("a"), 0))
    book.take(job_record(make_job("a"), 0))
    book.take(job_record(make_job("a"), 1))
    assert ids(book) == ["a"]
    book.ended("a")
    assert ids(book) == []
    assert book.lowest_unfinished(0) == 2


def test_a_later_attempt_takes_the_place_of_the_earlier(book: JobBook) -> None:
    book.take(job_record(make_job("a"), 0))
    book.take(job_record(make_job("a", attempt=2), 1))
    assert [entry.job.attempt for entry in book.due(0.0, 5)] == [2]
    assert book.lowest_unfinished(0) == 1


@pytest.mark.parametrize(
    "fields", [{"source": "/not/allowed.mp4"}, {"stream": "a/b"}, {"model": "none-such"}, {"attempt": 0}]
)
def test_a_bad_job_is_rejected_and_counts_as_finished(book: JobBook, fields: dict[str, object]) -> None:
    rejected = book.take(job_record(make_job("a", **fields), 7))
    assert rejected is not None
    assert rejected.message
    assert ids(book) == []
    assert book.lowest_unfinished(0) == 8


def test_bytes_that_are_no_job_are_rejected_and_a_tombstone_is_passed_over(book: JobBook) -> None:
    good = job_record(make_job("a"), 0)
    for offset, (value, key) in enumerate(((b"\xc1", b"a"), (good.value, b"b"), (b"", b"a"))):
        rejected = book.take(replace(good, offset=offset, value=value, key=key))
        assert rejected is not None
        assert rejected.job is None
    assert book.take(replace(good, offset=3, value=None)) is None
    assert book.lowest_unfinished(0) == 4
    assert book.take_status(replace(good, value=b"\xc1")) is not None


def test_a_cancelled_job_is_not_due_whether_the_wish_or_the_job_came_first(book: JobBook) -> None:
    book.take_status(cancel_record("first"))
    book.take(job_record(make_job("first"), 0))
    book.take(job_record(make_job("second"), 1))
    book.started("second")
    book.take_status(cancel_record("second"))
    assert ids(book) == []
    assert [(entry.job.job, book.is_running(entry.job.job)) for entry in book.cancelled()] == [
        ("first", False),
        ("second", True),
    ]
    book.take_status(replace(cancel_record("first"), value=None))
    assert ids(book) == ["first"]


def test_dropping_a_partition_forgets_it_and_tells_what_runs_there(book: JobBook) -> None:
    book.take(job_record(make_job("here"), 0, partition=1))
    book.take(job_record(make_job("there"), 0, partition=2))
    book.take_status(cancel_record("there", partition=2))
    book.started("here")
    book.started("there")
    assert [entry.job.job for entry in book.drop({2})] == ["there"]
    assert book.positions() == {1: 0}
    book.take(job_record(make_job("there"), 0, partition=2))
    assert ids(book) == ["there"], "the wish to cancel it is read again with its partition"


Step = tuple[str, int, int]


@given(
    n_slots=st.integers(2, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["record", "start", "end", "move"]), st.integers(0, 1), st.integers(0, 9)),
        max_size=80,
    ),
)
def test_no_job_is_lost_or_done_twice_and_a_long_one_blocks_nothing(n_slots: int, steps: list[Step]) -> None:
    """Records come, jobs run and end in any order, partitions move away and come back at the committed position."""
    book = JobBook(admission())
    log: dict[int, list[Incoming]] = {0: [], 1: [], 2: []}
    committed = dict.fromkeys(log, 0)
    statuses: dict[int, list[Incoming]] = {0: [], 1: [], 2: []}
    ended: list[str] = []
    submitted: list[str] = []

    def end(job: str) -> None:
        entry = book.get(job)
        assert entry is not None
        ended.append(job)
        status = msgspec.structs.replace(first_status(entry.job), state="done")
        statuses[entry.partition].append(status_record(status, partition=entry.partition))
        book.ended(job)
        position = book.lowest_unfinished(entry.partition)
        assert position is not None
        committed[entry.partition] = position

    def running() -> list[str]:
        return [name for name in submitted if book.is_running(name) and name != "job0"]

    first: list[Step] = [("record", 0, 0), ("record", 0, 0), ("start", 0, 0), ("start", 0, 0)]
    for what, partition, k in first + steps:
        if what == "record":
            record = job_record(make_job(f"job{len(submitted)}"), len(log[partition]), partition)
            submitted.append(f"job{len(submitted)}")
            log[partition].append(record)
            book.take(record)
        elif what == "start":
            taken = sum(book.is_running(name) for name in submitted)
            for entry in book.due(0.0, min(1, n_slots - taken)):
                book.started(entry.job.job)
        elif what == "end" and running():
            end(running()[k % len(running())])
        elif what == "move":
            book.drop({partition})
            for record in statuses[partition]:
                book.take_status(record)
            for record in log[partition][committed[partition] :]:
                book.take(record)
        for each, records in log.items():
            unfinished = [record.offset for record in records if record.key.decode() not in ended]
            assert book.lowest_unfinished(each) in (None, min(unfinished, default=len(records)))
    # The first job never ends: all others still do.
    if book.get("job0") is not None and not book.is_running("job0"):
        book.started("job0")
    while (rest := book.due(0.0, 1)) or running():
        for entry in rest:
            book.started(entry.job.job)
        end(running()[0])
    assert sorted(ended) == sorted(set(ended))
    assert set(ended) | {"job0"} == set(submitted) | {"job0"}
