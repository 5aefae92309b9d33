"""What a member of the fleet makes of bad luck: children that die or are late, refusals, changes of mind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from streamer.bus.protocol import Bus, Outgoing, Placed, Position, Producer
from streamer.bus.topics import state_record
from streamer.errors import BusError, DeliveryFailed, Fenced, ModelError, WorkerNotStarted
from streamer.fleet import starts
from streamer.messages import DeadLetter, JobCancel
from streamer.wishes import records
from streamer.worker import crew, fleet_worker
from streamer.worker.link import Change, Ended, Fatal, Message, Open, Release, Start, Stop, StreamTick, Tick
from streamer.worker.membership import Assigned, Lost, Records, Revoked, _Listener
from tests.unit.worker.fleet_rig import Actors, Rig, ended, good


def stubborn(children: Actors, child: int, message: Message) -> None:
    """A child that lets go of nothing by itself."""
    if not isinstance(message, Release):
        good(children, child, message)


def revoke(one: Rig, topic: str, *partitions: int) -> threading.Event:
    done = threading.Event()
    one.children.post(Revoked(topic, frozenset(partitions), None, done))
    return done


def attempt_of(one: Rig, job: str) -> int:
    order = one.opens(f"job:{job}")[-1].job
    assert order is not None
    return order.job.attempt


def remove(one: Rig, stream: str) -> None:
    one.write(records.stream_removal(stream, one.config.topics))


# -- partitions that leave ----------------------------------------------------------------------------------------


def test_what_is_late_in_being_handed_over_counts_as_lost() -> None:
    told: list[Any] = []

    def post(event: Any) -> None:
        told.append(event)
        if isinstance(event, Lost):
            event.done.set()

    _Listener("affect.jobs", post, hand_over_s=0.05).revoked(frozenset({1, 2}), None)
    assert [(type(event), event.partitions) for event in told] == [(Revoked, {1, 2}), (Lost, {1, 2})]


def test_streams_that_leave_are_discarded_where_they_are_lost_meanwhile(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    first, second = revoke(one, "affect.streams", *range(4)), threading.Event()
    one.children.post(Lost("affect.streams", frozenset(range(4)), second))
    one.wait(lambda: one.releases("door") == ["hand_over", "discard"], "nothing more is published")
    assert not any(event.is_set() for event in (first, second))
    one.children.say(0, ended("door"))
    one.wait(lambda: first.is_set() and second.is_set(), "both are answered")


def test_partitions_leave_although_the_child_dies(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.add("door")
    one.submit("j1")
    one.wait(lambda: one.opens("door") and one.opens("job:j1"), "both are opened")
    done = [revoke(one, "affect.streams", *range(4)), revoke(one, "affect.jobs", 3)]
    one.wait(lambda: one.releases("job:j1") and one.releases("door"), "both are to leave")
    one.children.die(0)
    one.wait(lambda: all(event.is_set() for event in done), "both have left")
    one.add("other")
    assert len(one.opens("job:j1")) == 1, "a job of a partition that left is not begun again"


def test_partitions_leave_although_the_models_fail(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.add("door", model="fer")
    one.wait(lambda: one.opens("door"), "it is opened")
    done = revoke(one, "affect.streams", *range(4))
    one.wait(lambda: one.releases("door"), "it is to leave")
    child = next(number for number, message in one.children.told if isinstance(message, Open))
    one.children.say(child, Fatal(cause="model", message="out of memory"))
    one.wait(done.is_set, "it has left")


def test_a_worker_that_leaves_waits_for_no_child_that_died(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=300.0)
    one.add("door")
    one.submit("j1")
    one.wait(lambda: one.opens("door") and one.opens("job:j1"), "both are opened")
    one.worker.interrupt()
    one.wait(lambda: one.releases("job:j1") and one.releases("door"), "both are to leave")
    one.children.die(0)
    one.thread.join(20)
    assert not one.thread.is_alive()


# -- changes of mind ----------------------------------------------------------------------------------------------


def test_a_stream_that_comes_back_waits_until_its_child_has_let_go(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    remove(one, "door")
    one.wait(lambda: one.releases("door"), "it is let go of")
    one.add("door", source="testsrc://64x48@7")
    one.add("next")
    one.wait(lambda: one.opens("next"), "what came later is opened")
    assert len(one.opens("door")) == 1
    one.children.say(0, ended("door"))
    [first, second] = one.wait(lambda: len(one.opens("door")) == 2 and one.opens("door"), "it is opened again")
    assert second.epoch > first.epoch
    assert second.url != first.url


def test_a_job_that_comes_back_waits_until_its_child_has_let_go(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.submit("j1")
    one.wait(lambda: one.opens("job:j1"), "it is opened")
    partitions = frozenset({3})
    one.children.post(Lost("affect.jobs", partitions, threading.Event()))
    one.wait(lambda: one.releases("job:j1") == ["discard"], "it is let go of")
    jobs = one.worker._jobs
    one.children.post(Assigned("affect.jobs", partitions))
    bus = jobs.desk.bus
    [record] = bus.latest("affect.jobs", 3).values()
    one.children.post(Records("affect.jobs", [record], partitions))
    one.submit("j2", partition=4)
    one.wait(lambda: one.opens("job:j2"), "what came later is opened")
    assert len(one.opens("job:j1")) == 1
    one.children.say(0, ended("job:j1"))
    one.wait(lambda: len(one.opens("job:j1")) == 2, "it is opened again")


def test_a_stream_that_ended_begins_again_when_it_is_wanted_otherwise(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.children.say(0, ended("door", "done"))
    one.wait(lambda: "door" not in one.worker._crew.orders, "it has ended")
    one.add("door", sample_fps=2.0)
    [_, second] = one.wait(lambda: len(one.opens("door")) == 2 and one.opens("door"), "it is opened again")
    assert second.tuning.sample_fps == 2.0


@pytest.mark.parametrize("end", ["released", "died", "paused"])
def test_nothing_is_left_of_a_stream_that_was_taken_back(rig: Callable[..., Rig], end: str) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.add("door")
    one.add("door2")
    one.wait(lambda: one.opens("door") and one.opens("door2"), "both are opened")

    def kept() -> set[bytes]:
        return {key for partition in range(4) for key in one.latest("affect.state", partition)}

    topic = one.config.topics
    one.write(*(state_record(topic, "live", "door", b"x", key=key) for key in (b"door", b"door/7.1")))
    one.write(state_record(topic, "live", "door2", b"x", key=b"door2/7.1"))
    if end == "paused":
        one.add("door", paused=True)
        one.wait(lambda: one.releases("door"), "it is to be let go of")
    remove(one, "door")
    one.wait(lambda: "close" in one.releases("door"), "it is let go of")
    if end == "died":
        one.children.die(0)
    else:
        one.children.say(0, ended("door"))
    one.wait(lambda: not any(key.partition(b"/")[0] == b"door" for key in kept()), "it is forgotten")
    assert {b"door2/claim", b"door2/7.1"} <= kept()


def test_a_cancelled_job_whose_child_dies_is_over(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.submit("j1")
    one.wait(lambda: one.opens("job:j1"), "it is opened")
    one.write(records.job_cancel(JobCancel(job="j1"), 3, one.config.topics))
    one.wait(lambda: one.releases("job:j1"), "it is to end")
    one.children.die(0)
    one.wait(lambda: [s for s in one.job_statuses("j1") if s.state == "cancelled"], "it is cancelled")


# -- a bus that refuses or is slow --------------------------------------------------------------------------------


@dataclass
class Moody:
    """A bus whose appends fail, or wait, as long as a test says so; commits and reads fail as `plan` says."""

    bus: Bus
    refuses: int = 0
    commits: list[BusError | None] = field(default_factory=list)
    reads: list[BusError] = field(default_factory=list)
    late: threading.Event | None = None
    free: threading.Event = field(default_factory=threading.Event)
    appends: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)

    def latest(self, *place: Any, **how: Any) -> Any:
        if self.reads and how.get("settled"):
            raise self.reads.pop()
        found = self.bus.latest(*place, **how)
        if self.late is not None and how.get("settled"):
            assert self.late.wait(20)
        return found

    def producer(self, transactional_id: str | None = None) -> Any:
        return MoodyProducer(self, self.bus.producer(transactional_id))


@dataclass
class MoodyProducer:
    mood: Moody
    producer: Producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.producer, name)

    def append(self, out: Sequence[Outgoing], timeout_s: float) -> list[Placed]:
        mood = self.mood
        mood.appends += 1
        if mood.refuses:
            mood.refuses -= 1
            raise DeliveryFailed("not today")
        assert mood.free.wait(20)
        return self.producer.append(out, timeout_s)

    def commit(self, out: Sequence[Outgoing], position: Position | None = None) -> None:
        error = self.mood.commits.pop(0) if self.mood.commits else None
        if error is not None:
            raise error
        self.producer.commit(out, position)


def moody(made: list[Moody], *, refuses: int = 0, free: bool = True) -> Callable[[Bus], Moody]:
    def wrap(bus: Bus) -> Moody:
        made.append(Moody(bus, refuses))
        if free:
            made[0].free.set()
        return made[0]

    return wrap


def test_a_claim_that_was_refused_is_tried_again(rig: Callable[..., Rig]) -> None:
    one = rig(wrap=moody([], refuses=2))
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")


def test_a_notice_that_was_refused_is_tried_again(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.worker.notices.REFUSED_PAUSE_S", 0.1, raising=False)
    one = rig(wrap=moody([], refuses=2))
    one.add("door", paused=True)
    one.wait(lambda: one.statuses("door"), "it says that it is paused")


def test_a_stream_paused_while_its_claim_is_under_way_runs_when_it_is_resumed(rig: Callable[..., Rig]) -> None:
    moods: list[Moody] = []
    one = rig(wrap=moody(moods, free=False))
    one.add("door")
    one.wait(lambda: moods[0].appends, "it is being claimed")
    one.add("door", paused=True)
    one.wait(lambda: one.worker._streams.table.all()[0].definition.paused, "it is paused")
    moods[0].free.set()
    one.wait(lambda: one.statuses("door"), "it says that it is paused")
    one.add("door", paused=False)
    one.wait(lambda: one.worker._crew.orders, "it runs")
    one.wait(lambda: one.opens("door"), "it runs")


def test_while_the_bus_is_away_nothing_piles_up(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_worker, "LOOK_INTERVAL_S", 0.02)
    monkeypatch.setattr("streamer.worker.notices.REPEAT_S", 0.02)
    moods: list[Moody] = []
    one = rig(wrap=moody(moods))
    one.add("door", paused=True)
    one.wait(lambda: one.statuses("door"), "it says that it is paused")
    moods[0].free.clear()
    seen = moods[0].appends
    one.wait(lambda: moods[0].appends > seen, "the bus does not answer")
    looks = iter(range(10**6))
    monkeypatch.setattr(one.worker._crew, "end_the_hung", lambda: next(looks))
    one.wait(lambda: next(looks) > 100, "the worker looked around often")
    assert one.worker._desk._tasks.qsize() < 10
    moods[0].free.set()


def test_a_failure_that_a_sharing_out_kept_from_the_bus_is_told_again(rig: Callable[..., Rig]) -> None:
    moods: list[Moody] = []
    one = rig(wrap=moody(moods), job_retry_s=0.1)
    moods[0].commits = [None, Fenced("a new generation"), Fenced("a new generation")]
    one.submit("j1")
    one.wait(lambda: one.opens("job:j1"), "it is opened")
    positions: set[int | None] = set()
    one.children.say(0, ended("job:j1", "failed", "unreachable"))

    def refused_twice() -> bool:
        positions.add(one.worker._jobs.book.lowest_unfinished(3))
        return not moods[0].commits

    one.wait(refused_twice, "the bus refuses twice")
    assert positions == {0}, "nobody goes past a job whose failure is not on the bus"
    one.wait(lambda: len(one.opens("job:j1")) == 2, "it is tried again")
    assert attempt_of(one, "j1") == 2
    assert one.worker._jobs.book.lowest_unfinished(3) == 1


def test_an_end_that_can_never_be_written_holds_up_no_other(rig: Callable[..., Rig]) -> None:
    moods: list[Moody] = []
    one = rig(stubborn, drain_s=0.5, wrap=moody(moods), job_slots=1)
    one.submit("running")
    one.wait(lambda: one.opens("job:running"), "a job has the only slot")
    refused = DeliveryFailed("too large", (0,))
    moods[0].commits = [refused, refused]
    for job in ("j1", "j2"):
        one.write(records.job_cancel(JobCancel(job=job), 3, one.config.topics))
    one.submit("j1")
    one.submit("j2")
    one.wait(lambda: one.worker._jobs.book.lowest_unfinished(3) == 0 and not moods[0].commits, "both are refused")
    one.wait(lambda: [s for s in one.job_statuses("j2") if s.state == "cancelled"], "the other is written")


def test_nobody_goes_past_a_record_that_was_rejected_before_the_bus_says_so(rig: Callable[..., Rig]) -> None:
    moods: list[Moody] = []
    one = rig(wrap=moody(moods))
    moods[0].free.clear()
    one.write(Outgoing("affect.jobs", 3, b"j1", b"no job"))
    book = one.worker._jobs.book
    one.wait(lambda: book.lowest_unfinished(3) is not None and moods[0].appends, "it is rejected")
    assert book.lowest_unfinished(3) == 0
    moods[0].free.set()
    one.wait(lambda: book.lowest_unfinished(3) == 1, "the bus has its letter")
    assert [letter.cause for letter in one.on("affect.deadletter", DeadLetter)] == ["undecodable"]


def test_a_job_whose_beginning_was_refused_is_begun_again(rig: Callable[..., Rig]) -> None:
    moods: list[Moody] = []
    one = rig(wrap=moody(moods))
    moods[0].commits = [Fenced("a new generation"), DeliveryFailed("not today")]
    one.submit("j1")
    one.wait(lambda: one.opens("job:j1"), "it is opened")
    assert one.job_statuses("j1")[-1].starts == 1


def test_statuses_that_could_not_be_read_are_read_again(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.worker.job_arrivals.READ_AGAIN_S", 0.1)

    def wrap(bus: Bus) -> Moody:
        mood = Moody(bus, reads=[BusError("not today")])
        mood.free.set()
        return mood

    one = rig(wrap=wrap)
    for partition in range(64):
        one.submit(f"j{partition}", partition=partition, not_before_s=4e9)
    book = one.worker._jobs.book
    one.wait(lambda: len(book.positions()) == 64, "all partitions are looked at")


def test_a_wish_to_cancel_that_comes_while_statuses_are_read_is_heard(rig: Callable[..., Rig]) -> None:
    late = threading.Event()
    moods: list[Moody] = []

    def wrap(bus: Bus) -> Moody:
        moods.append(Moody(bus, late=late))
        moods[0].free.set()
        return moods[0]

    one = rig(wrap=wrap)
    one.submit("j1", partition=0)
    one.wait(lambda: one.worker._jobs.arrivals.owned, "the partitions are being read")
    one.write(records.job_cancel(JobCancel(job="j1"), 0, one.config.topics))
    arrivals = one.worker._jobs.arrivals
    one.wait(lambda: arrivals._reading[0].statuses, "the wish was heard")
    late.set()
    one.wait(lambda: [s for s in one.job_statuses("j1") if s.state == "cancelled"], "it is cancelled")
    assert one.opens("job:j1") == []


def test_a_failure_of_a_life_before_counts_against_no_later_attempt(rig: Callable[..., Rig]) -> None:
    one = rig(stubborn, drain_s=0.5)
    one.submit("j1")
    one.wait(lambda: one.opens("job:j1"), "it is opened")
    one.children.post(Lost("affect.jobs", frozenset({3}), threading.Event()))
    one.wait(lambda: one.releases("job:j1") == ["discard"], "it is let go of")
    one.children.post(Assigned("affect.jobs", frozenset({3})))
    one.submit("j1", attempt=2)  # another worker failed meanwhile
    one.wait(lambda: one.worker._jobs.book.get("j1"), "the later attempt is here")
    one.children.say(0, ended("job:j1", "failed", "unreachable"))
    one.wait(lambda: len(one.opens("job:j1")) == 2, "it is begun")
    assert attempt_of(one, "j1") == 2


# -- children that cannot go on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["model", "topic_missing", "bus_unavailable"])
def test_a_child_that_fails_after_running_well_is_replaced(rig: Callable[..., Rig], cause: str) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.wait(lambda: one.worker._crew.any_ready, "its child was ready")
    one.children.say(0, Fatal(cause=cause, message="for now"))
    one.children.die(0, 1)
    one.wait(lambda: len(one.opens("door")) == 2, "another child has it")


def test_a_worker_whose_models_do_not_open_ends(rig: Callable[..., Rig]) -> None:
    def hopeless(children: Actors, child: int, message: Message) -> None:
        if isinstance(message, Start):
            children.say(child, Fatal(cause="model", message="no weights"))
            children.die(child, 1)

    one = rig(hopeless)
    one.add("door")
    one.thread.join(20)
    [error] = one.failures
    assert isinstance(error, ModelError)


def test_a_worker_whose_models_open_no_more_leaves_its_share_to_others(rig: Callable[..., Rig]) -> None:
    broken: list[bool] = []

    def breaking(children: Actors, child: int, message: Message) -> None:
        if broken and isinstance(message, Start):
            children.say(child, Fatal(cause="model", message="the device is gone"))
            children.die(child, 1)
        else:
            good(children, child, message)

    one = rig(breaking)
    for n in range(3):
        one.add(f"s{n}")
    one.wait(lambda: len(one.children.of(Open)) == 3, "the streams are opened")
    broken.append(True)
    one.children.die(0)
    one.thread.join(20)
    [error] = one.failures
    assert isinstance(error, ModelError)
    assert len(one.children.starts) >= fleet_worker.MODEL_FAILURES_ALLOWED


def test_a_stream_that_ran_well_for_long_is_not_blamed_for_children_that_died_before(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.worker.stream_duty.FORGIVEN_AFTER_S", 0.0)

    def ticking(children: Actors, child: int, message: Message) -> None:
        good(children, child, message)
        if isinstance(message, Open):
            facts: dict[str, Any] = dict.fromkeys(
                ("faces_now", "decoded", "analysed", "faces", "records", "corrupt_packets"), 0
            )
            tick = StreamTick(work=message.work, media_time_s=0.0, dropped={}, **facts)
            children.say(child, Tick(streams=(tick,), published=0, stage_s={}))

    one = rig(ticking)
    one.add("door")

    def opened(times: int) -> bool:
        return len(one.opens("door")) == times

    for n in range(1, 5):
        one.wait(partial(opened, n), "it is opened")
        one.wait(lambda: one.worker._streams._wards["door"].since_s is None, "it ran well")
        one.children.die(0)
    assert {each.restarts for each in one.opens("door")[1:]} == {1}


def test_a_machine_without_room_for_a_child_is_tried_again(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.wait(lambda: one.worker._crew.any_ready, "its child was ready")
    start, failures = one.children.start, [1]

    def full(message: Start) -> int:
        if failures:
            failures.pop()
            raise WorkerNotStarted("no memory")
        return start(message)

    monkeypatch.setattr(one.children, "start", full)
    one.children.die(0)
    one.wait(lambda: len(one.opens("door")) == 2, "another child has it")
    assert not failures


def test_models_that_failed_are_tried_again(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "PERMANENT_PAUSE_S", 0.2)
    failures = [1]

    def picky(children: Actors, child: int, message: Message) -> None:
        if isinstance(message, Open) and failures:
            failures.pop()
            children.say(child, Fatal(cause="model", message="not fetched yet"))
            children.die(child, 1)
        else:
            good(children, child, message)

    one = rig(picky)
    one.add("door", model="fer")
    one.wait(lambda: len(one.opens("door")) == 2, "it is opened again")


def test_a_child_for_other_models_leaves_when_nobody_needs_it(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "SPARE_FOR_S", 0.2, raising=False)
    monkeypatch.setattr(fleet_worker, "LOOK_INTERVAL_S", 0.05)

    def ticking(children: Actors, child: int, message: Message) -> None:
        good(children, child, message)
        if isinstance(message, Open):
            children.say(child, Tick(streams=(), published=0, stage_s={}))

    one = rig(ticking)
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.submit("j1", model="fer")
    one.wait(lambda: one.opens("job:j1"), "the job is opened")
    other = one.children.starts[-1].child
    one.children.say(other, ended("job:j1", "done", job_state="done"))
    one.wait(lambda: other not in one.children, "its child has left")
    assert [number for number, message in one.children.told if isinstance(message, Stop)] == [other]
    one.submit("j2", model="fer")
    one.wait(lambda: one.opens("job:j2"), "another is started when there is need")


def test_a_rate_that_changed_before_the_source_was_open_is_told_then(rig: Callable[..., Rig]) -> None:
    late: list[Message] = []

    def slow(children: Actors, child: int, message: Message) -> None:
        if isinstance(message, Open) and not late:
            late.append(message)
        else:
            good(children, child, message)

    one = rig(slow)
    one.add("door")
    one.wait(lambda: late, "the stream is being opened")
    one.add("door", sample_fps=1.0)
    one.wait(lambda: one.children.of(Change), "the rate changes")
    good(one.children, 0, late[0])
    one.wait(lambda: len(one.children.of(Change)) == 2, "a child that was not there yet hears of it")


def test_an_end_of_a_life_before_is_nobodys(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    one.children.say(1, ended("door"))
    one.children.say(0, ended("unknown"))
    one.add("next")
    one.wait(lambda: one.opens("next"), "it goes on")
    assert len(one.opens("door")) == 1
    assert one.children.of(Ended) == []
