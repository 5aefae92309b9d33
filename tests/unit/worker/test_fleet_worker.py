"""A member of the fleet on a real bus, with children that do what a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.bus.protocol import Outgoing
from streamer.config import SpoolSettings
from streamer.errors import UsageError
from streamer.messages import DeadLetter, JobCancel, JobStatus, StreamDefinition
from streamer.state.codec import stream_key
from streamer.wishes import records
from streamer.worker.link import Change, Fatal, Membership, Message, Open, Release, Reopen, SourceGone, Tuning
from streamer.worker.spools import Spools
from tests.unit.worker.fleet_rig import Actors, Rig, ended, good


def test_a_wanted_stream_is_claimed_and_opened_under_its_claim(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door", sample_fps=2.0, repeat=True)
    [order] = one.wait(lambda: one.opens("door"), "the stream is opened")
    assert (order.mode, order.tuning.sample_fps, order.reopen, order.repeat) == ("live", 2.0, True, True)
    [claim] = [
        record
        for partition in range(4)
        for key, record in one.latest("affect.state", partition).items()
        if key == stream_key("door") + b"/claim"
    ]
    assert (order.epoch, order.epoch_time_s) == (claim.offset, claim.time_s)


def test_a_stream_changes_as_it_runs(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.add("door", sample_fps=1.0)
    assert one.wait(lambda: one.children.of(Change), "the rate changes") == [
        Change(work="door", tuning=Tuning(sample_fps=1.0))
    ]
    one.add("door", source="testsrc://64x48@7", sample_fps=1.0)
    [first, second] = one.wait(lambda: len(one.opens("door")) == 2 and one.opens("door"), "it is opened anew")
    assert one.releases("door") == ["close"]
    assert second.epoch > first.epoch
    one.add("door", source="testsrc://64x48@7", paused=True)
    one.wait(lambda: [s for s in one.statuses("door") if s.state == "paused"], "it says that it is paused")
    assert one.releases("door") == ["close", "hand_over"]
    one.write(records.stream_removal("door", one.config.topics))
    one.wait(lambda: not any(one.latest("affect.state", at) for at in range(4)), "what was kept of it is forgotten")


def test_a_stream_that_is_taken_back_while_it_runs_is_closed_and_forgotten(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.write(records.stream_removal("door", one.config.topics))
    one.wait(lambda: one.releases("door") == ["close"], "it is let go of")
    one.wait(lambda: not any(one.latest("affect.state", at) for at in range(4)), "what was kept of it is forgotten")


def test_a_bad_definition_is_a_dead_letter_and_stops_nobody(rig: Callable[..., Rig]) -> None:
    one = rig()
    bad = records.stream_definition(StreamDefinition(stream="bad", source="gopher://x:secret@y"), one.config.topics)
    one.write(bad, Outgoing(bad.topic, bad.partition, b"worse", b"\xc1"))
    one.add("good")
    one.wait(lambda: one.opens("good"), "the good stream is opened")
    letters = one.wait(
        lambda: len(found := one.on("affect.deadletter", DeadLetter)) == 2 and found, "both are dead letters"
    )
    assert {letter.cause for letter in letters} == {"unsupported", "undecodable"}
    assert not any("secret" in letter.message for letter in letters)
    assert one.opens("bad") == []
    [failed, *_] = one.wait(lambda: one.statuses("bad"), "the list of streams shows why")
    assert (failed.state, failed.cause) == ("failed", "unsupported")


def test_what_exceeds_the_capacity_waits_and_says_so(rig: Callable[..., Rig]) -> None:
    one = rig(max_streams=1)
    one.add("low")
    one.wait(lambda: one.opens("low"), "the first stream is opened")
    one.add("high", priority=5)
    one.wait(lambda: one.opens("high"), "the more important one is opened")
    assert one.releases("low") == ["hand_over"]
    [waiting, *_] = one.wait(lambda: [s for s in one.statuses("low") if s.state == "waiting"], "it says it waits")
    assert "1 of at most 1 streams" in (waiting.message or "")
    assert waiting.cause == "capacity"


def test_a_stream_whose_child_died_is_claimed_again(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    [first] = one.wait(lambda: one.opens("door"), "the stream is opened")
    one.children.die(0)
    [_, second] = one.wait(lambda: len(one.opens("door")) == 2 and one.opens("door"), "another child has it")
    assert second.epoch > first.epoch
    assert second.restarts == 1


def test_a_source_that_went_away_is_tried_again(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.children.say(0, SourceGone(work="door", cause="unreachable", message="it is gone", opened=True))
    assert one.wait(lambda: one.children.of(Reopen), "it is opened again") == [Reopen(work="door")]


def test_models_that_do_not_fit_cost_only_those_who_asked_for_them(rig: Callable[..., Rig]) -> None:
    def picky(children: Actors, child: int, message: Message) -> None:
        if isinstance(message, Open) and message.stream == "odd":
            children.say(child, Fatal(cause="model", message="no such weights here"))
            children.die(child, 1)
        else:
            good(children, child, message)

    one = rig(picky)
    one.add("door")
    one.add("odd", model="fer")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    [failed, *_] = one.wait(lambda: [s for s in one.statuses("odd") if s.state == "failed"], "it says it failed")
    assert (failed.cause, failed.message) == ("model", "no such weights here")
    assert {start.config.models.expression for start in one.children.starts} == {"face-api", "fer"}
    assert one.releases("door") == []


def test_two_workers_share_the_streams_and_a_leaving_one_hands_its_own_over(
    rig: Callable[..., Rig],
) -> None:
    first = rig(name="a")
    names = [f"s{i}" for i in range(12)]
    for name in names:
        first.add(name)
    first.wait(lambda: len(first.children.of(Open)) >= 4, "the first worker runs what it can carry")
    second = rig(name="b")
    second.wait(lambda: len({o.work for o in second.children.of(Open)}) >= 3, "the second takes its share")
    second.worker.interrupt()
    second.thread.join(20)
    assert not second.thread.is_alive()
    mine = {message.work for message in second.children.of(Open)}
    assert all(second.releases(work)[-1] == "hand_over" for work in mine if second.releases(work))


def test_a_worker_says_when_its_name_is_taken(tmp_path: Path) -> None:
    settings = SpoolSettings(folder=str(tmp_path))
    with Spools(settings, "w", enabled=True) as spools:
        (tmp_path / "w" / "3.spool").touch()
        assert spools.left_behind() == [3]
        with pytest.raises(UsageError, match="named w runs on this machine"):
            Spools(settings, "w", enabled=True)
    Spools(settings, "w", enabled=True).close()


# -- jobs ---------------------------------------------------------------------------------------------------------


def test_a_job_is_begun_on_the_bus_and_then_in_a_child(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.submit("j1", run="mine", model="fer")
    [order] = one.wait(lambda: one.opens("job:j1"), "the job is opened")
    assert (order.stream, order.mode, order.job.partition, order.job.job.run) == ("clip", "archive", 3, "mine")
    assert order.job.status.state == "running"
    assert one.job_statuses("j1")[-1].starts == 1
    assert any(start.config.models.expression == "fer" for start in one.children.starts)
    assert one.children.of(Membership), "children commit as members of the group"
    one.children.say(one.children.starts[-1].child, ended("job:j1", "done", job_state="done"))
    one.wait(lambda: one.worker._jobs.book.lowest_unfinished(3) == 1, "its record is done with")


def test_a_job_that_fails_is_tried_again_and_then_is_a_dead_letter(rig: Callable[..., Rig]) -> None:
    def failing(children: Actors, child: int, message: Message) -> None:
        good(children, child, message)
        if isinstance(message, Open):
            children.say(child, ended(message.work, "failed", "unreachable"))

    one = rig(failing, job_attempts=2, job_retry_s=0.2)
    one.submit("j1")
    one.submit("j2", partition=3)
    letters = one.wait(lambda: len(x := one.on("affect.deadletter", DeadLetter)) == 2 and x, "both are dead letters")
    assert {letter.cause for letter in letters} == {"unreachable"}
    states = [status.state for status in one.job_statuses("j1")]
    assert states == ["running", "retrying", "running", "failed"]
    assert len(one.opens("job:j1")) == 2
    assert one.worker._jobs.book.lowest_unfinished(3) == 4


def test_a_job_can_be_cancelled_before_and_while_it_runs(rig: Callable[..., Rig]) -> None:
    def cancelled(children: Actors, child: int, message: Message) -> None:
        if isinstance(message, Release) and message.how == "cancel":
            children.say(child, ended(message.work, job_state="cancelled"))
        else:
            good(children, child, message)

    one = rig(cancelled, job_slots=1)
    one.submit("j1", submitted_s=1.0)
    one.wait(lambda: one.opens("job:j1"), "the first job runs")
    one.submit("j2", submitted_s=2.0)
    for job in ("j1", "j2"):
        one.write(records.job_cancel(JobCancel(job=job), 3, one.config.topics))
    one.wait(lambda: [s for s in one.job_statuses("j2") if s.state == "cancelled"], "the waiting job is cancelled")
    one.wait(lambda: one.releases("job:j1") == ["cancel"], "the running job is let go of")
    one.wait(lambda: one.worker._jobs.book.lowest_unfinished(3) == 2, "both records are done with")
    assert one.opens("job:j2") == []


def test_a_job_that_kills_its_workers_is_given_up(rig: Callable[..., Rig]) -> None:
    one = rig(roles=["streams"])
    status = JobStatus(job="j1", batch="b", stream="clip", source="x", state="running", starts=4)
    one.write(records.job_status(status, 3, one.config.topics))
    one.submit("j1")
    two = rig(name="b")
    [letter] = two.wait(lambda: two.on("affect.deadletter", DeadLetter), "it is a dead letter")
    assert letter.cause == "poisonous"
    assert two.job_statuses("j1")[-1].state == "failed"
    assert two.opens("job:j1") == []


def test_a_job_that_may_not_be_done_here_has_failed_and_says_why(rig: Callable[..., Rig]) -> None:
    one = rig(roots=["/videos"])
    one.submit("j1", source="/etc/passwd")
    [status] = one.wait(lambda: one.job_statuses("j1"), "its status says so")
    assert (status.state, status.cause) == ("failed", "refused")
    [letter] = one.wait(lambda: one.on("affect.deadletter", DeadLetter), "it is a dead letter")
    assert "fleet.roots" in letter.message
