from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamer.fleet.retry import begun, first_status, over
from streamer.messages import JobStatus
from streamer.wishes.batches import JobBoard, KnownJob, batches
from tests.unit.fleet.control import cancel_record, make_job, status_record


def known(status: JobStatus) -> KnownJob:
    return KnownJob(status, 0)


def test_the_board_keeps_the_newest_status_and_the_wishes_that_still_stand() -> None:
    board = JobBoard()
    waiting = first_status(make_job("a"))
    board.take(status_record(waiting, partition=3))
    board.take(cancel_record("a", partition=3))
    assert board.jobs() == {"a": KnownJob(waiting, 3, cancelling=True)}
    done = over(waiting, "cancelled", 5.0)
    board.take(status_record(done, partition=3))
    assert board.jobs() == {"a": KnownJob(done, 3, cancelling=False)}
    board.take(replace(cancel_record("a"), value=None))
    board.take(replace(status_record(done), value=b"\xc1"))
    assert board.unreadable == 1
    board.take(replace(status_record(done), value=None))
    assert board.jobs() == {}


def test_names_mean_batches_or_jobs() -> None:
    board = JobBoard()
    for job, batch in (("a", "x"), ("b", "x"), ("c", "y")):
        board.take(status_record(first_status(make_job(job, batch=batch))))
    found, unknown = board.named(["x", "c", "nothing"])
    assert (sorted(found), unknown) == (["a", "b", "c"], ["nothing"])


def test_lengths_that_are_not_known_are_guessed_by_those_that_are() -> None:
    at = msgspec.structs.replace(begun(make_job("a"), None, "w", 100.0), media_time_s=20.0, duration_s=40.0)
    [batch] = batches([known(at), known(first_status(make_job("b")))], now_s=110.0)
    assert (batch.media_s, batch.total_s, batch.speed, batch.left_s, batch.fraction) == (20.0, 80.0, 2.0, 30.0, 0.25)


def test_nothing_is_guessed_from_nothing() -> None:
    [batch] = batches([known(first_status(make_job("b")))], now_s=110.0)
    assert (batch.total_s, batch.speed, batch.left_s, batch.fraction, batch.over) == (None, None, None, None, False)


def test_what_failed_early_is_no_longer_waited_for() -> None:
    failed = over(
        msgspec.structs.replace(begun(make_job("a"), None, "w", 100.0), media_time_s=5.0, duration_s=3600.0),
        "failed",
        110.0,
    )
    [batch] = batches([known(failed)], now_s=1000.0)
    assert (batch.over, batch.fraction, batch.left_s, batch.total_s, batch.speed) == (True, 1.0, 0.0, 5.0, 0.5)


def test_batches_come_in_the_order_of_their_submission() -> None:
    jobs = [known(first_status(make_job(name, batch=name, submitted_s=at))) for name, at in (("b", 2.0), ("a", 3.0))]
    assert [batch.batch for batch in batches(jobs, 5.0)] == ["b", "a"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["waiting", "running", "retrying", "done", "failed", "cancelled"]),
            st.floats(0, 1e5),
            st.none() | st.floats(0, 1e5),
            st.none() | st.floats(0, 1e5),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_the_numbers_make_sense_whatever_the_statuses_say(
    rows: list[tuple[str, float, float | None, float | None]],
) -> None:
    jobs = [
        known(
            msgspec.structs.replace(
                first_status(make_job(f"j{k}")),
                state=state,
                media_time_s=media_s,
                duration_s=length_s,
                started_s=start_s,
            )
        )
        for k, (state, media_s, length_s, start_s) in enumerate(rows)
    ]
    [batch] = batches(jobs, now_s=5e4)
    assert sum(batch.counts.values()) == len(rows)
    assert batch.fraction is None or 0.0 <= batch.fraction <= 1.0
    assert batch.left_s is None or batch.left_s >= 0.0
    assert batch.speed is None or batch.speed > 0.0
