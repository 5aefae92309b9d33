from __future__ import annotations

import random

import msgspec
import pytest

from streamer.config import FleetSettings
from streamer.fleet.jobs import JobBook, JobEntry
from streamer.fleet.retry import (
    IN_THE_BYTES,
    SPARE_STARTS,
    JobEnd,
    begun,
    cancelled,
    failed,
    handed_over,
    is_poisonous,
    poisonous,
    refused,
)
from streamer.messages import JobStatus
from tests.unit.fleet.control import admission, job_record, make_job

FLEET = FleetSettings(job_attempts=3, job_retry_s=30.0)


def entry(attempt: int = 1) -> JobEntry:
    book = JobBook(admission())
    book.take(job_record(make_job("a", attempt=attempt), 4))
    found = book.get("a")
    assert found is not None
    return found


def running(attempt: int = 1) -> JobStatus:
    return begun(make_job("a", attempt=attempt), None, "w", 10.0)


def fail(attempt: int, cause: str = "unreachable", seed: int = 1) -> JobEnd:
    return failed(entry(attempt), running(attempt), cause, "Why.", FLEET, 100.0, random.Random(seed))


@pytest.mark.parametrize("cause", sorted(IN_THE_BYTES))
def test_what_is_in_the_bytes_is_not_tried_again(cause: str) -> None:
    end = fail(1, cause)
    assert (end.status.state, end.status.cause, end.status.finished_s) == ("failed", cause, 100.0)
    assert (end.again, end.letter) == (None, None)


@pytest.mark.parametrize(("attempt", "pause_s"), [(1, 30.0), (2, 60.0)])
def test_other_failures_are_tried_again_after_growing_pauses(attempt: int, pause_s: float) -> None:
    for seed in range(20):
        end = fail(attempt, seed=seed)
        assert end.again is not None
        assert end.again.attempt == end.status.attempt == attempt + 1
        assert end.again.not_before_s is not None
        assert 0.75 * pause_s <= end.again.not_before_s - 100.0 <= 1.25 * pause_s
        assert (end.status.state, end.status.worker, end.status.finished_s) == ("retrying", None, None)
        assert end.letter is None


def test_after_the_last_attempt_it_has_failed_and_is_a_dead_letter() -> None:
    end = fail(3)
    assert (end.status.state, end.again) == ("failed", None)
    assert end.letter is not None
    assert end.letter.record.offset == 4
    assert "3 times" in end.letter.message


def test_a_job_that_no_worker_survives_is_poisonous_and_one_that_moves_often_is_not() -> None:
    status = None
    for _ in range(10):
        status = handed_over(begun(make_job("a"), status, "w", 1.0), 2.0)
        assert not is_poisonous(make_job("a"), status)
    for _ in range(1 + SPARE_STARTS):
        status = begun(make_job("a"), status, "w", 1.0)
        assert not is_poisonous(make_job("a"), status)
    status = begun(make_job("a"), status, "w", 1.0)
    assert is_poisonous(make_job("a"), status)
    assert not is_poisonous(make_job("a", attempt=2), status)
    end = poisonous(entry(), status, 5.0)
    assert (end.status.state, end.status.cause) == ("failed", "poisonous")
    assert end.letter is not None


def test_a_second_worker_goes_on_where_the_status_says_the_state_lies() -> None:
    first = begun(make_job("a"), None, "w1", 10.0, state_from=77)
    told = msgspec.structs.replace(first, media_time_s=5.0, records=9)
    second = begun(make_job("a"), told, "w2", 20.0, state_from=99)
    assert (second.worker, second.starts, second.state_from) == ("w2", 2, 77)
    assert (second.media_time_s, second.records, second.started_s, second.updated_s) == (5.0, 9, 10.0, 20.0)


def test_a_refused_job_and_a_cancelled_one_are_over() -> None:
    rejected = JobBook(admission()).take(job_record(make_job("a", source="http://u:geheim@h/x.m3u8"), 1))
    assert rejected is not None
    end = refused(rejected, 3.0)
    assert end is not None
    assert (end.status.state, end.status.job, end.letter) == ("failed", "a", rejected)
    assert "geheim" not in repr(end.status)
    assert cancelled(running(), 3.0).status.state == "cancelled"
