"""What leaves together, and when, with a publisher that writes down what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import msgspec
import pytest

from streamer.bus.protocol import Outgoing
from streamer.bus.topics import topics
from streamer.clock import FakeClock
from streamer.config import CheckpointSettings, Config
from streamer.messages import Job, JobState, JobStatus, Mode, RunState, SourceResult, Status, decode
from streamer.pipeline import StageTimes
from streamer.types import Counters
from streamer.worker.checkpoints import Checkpoints
from streamer.worker.lane import Lane
from streamer.worker.link import JobOrder
from streamer.worker.outbox import Outbox
from streamer.worker.publisher import Batch, Publisher
from tests.golden.records import STATUS

CONFIG = Config(checkpoint=CheckpointSettings(archive_max_records=10, live_bytes_per_s=1000))
NAMES = topics(CONFIG.topics)


@dataclass
class Written:
    """A publisher without threads."""

    room: bool = True
    away: bool = False
    dropped: bool = False
    batches: list[Batch] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)

    def publish(self, batch: Batch) -> None:
        self.batches.append(batch)

    def has_room(self, *, transactional: bool) -> bool:
        return self.room

    def dropped_any(self) -> bool:
        dropped, self.dropped = self.dropped, False
        return dropped

    def discard(self, work: str) -> None:
        self.discarded.append(work)

    def never_spool(self, topic: str) -> None:
        self.never.append(topic)


@dataclass
class Taken:
    """Checkpoints of one byte a lane (live: of 100), which say whether they are full."""

    taken: list[tuple[str, bool]] = field(default_factory=list)

    def take(self, lane: Lane, full: bool = False) -> list[Outgoing]:
        self.taken.append((lane.work, full))
        topic = NAMES.archive_state if lane.mode == "archive" else NAMES.state
        return [Outgoing(topic.name, 0, lane.work.encode(), b"x" * (1 if lane.mode == "archive" else 100))]


@dataclass(eq=False)
class FakeLane:
    work: str
    mode: Mode = "archive"
    job: JobOrder | None = None
    phase: str = "running"
    run: str = "run"
    info: None = None
    state: None = None

    @property
    def stream(self) -> str:
        return self.work.removeprefix("job:")

    def count(self) -> Counters:
        return Counters(decoded=9, analysed=8, faces=7, records=6)


def lane(work: str, mode: Mode = "archive", job: JobOrder | None = None) -> Lane:
    return cast(Lane, FakeLane(work, mode, job))


def job_lane(name: str, partition: int, position: int = 0) -> Lane:
    job = Job(job=name, batch="b", stream=name, source=f"{name}.mp4")
    status = JobStatus(job=name, batch="b", stream=name, source=f"{name}.mp4", state="running", starts=1, worker="me")
    return lane(f"job:{name}", job=JobOrder(job=job, status=status, partition=partition, position=position))


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.publisher, self.checkpoints = Written(), Taken()
        self.first: list[str] = []
        self.outbox = Outbox(
            cast(Publisher, self.publisher),
            cast(Checkpoints, self.checkpoints),
            CONFIG,
            StageTimes(),
            self.clock,
            lambda: self.first.append("first"),
        )

    def add(self, where: Lane, n: int = 1) -> None:
        self.outbox.add(where, [status(where.stream)] * n)

    def on_time(self, *lanes: Lane, after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        self.outbox.on_time(lanes)

    def archive(self) -> list[Batch]:
        return [batch for batch in self.publisher.batches if batch.transactional]

    def live(self) -> list[Batch]:
        return [batch for batch in self.publisher.batches if not batch.transactional]


def status(stream: str) -> Status:
    return msgspec.structs.replace(STATUS, stream=stream)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def statuses(batch: Batch) -> dict[str, JobStatus]:
    found = [record for _, record in batch.records if record.topic == NAMES.jobs_status.name]
    decoded = [decode(record.value or b"", JobStatus) for record in found]
    return {one.job: one for one in decoded}


def test_the_first_records_of_archives_are_committed_at_once(rig: Rig) -> None:
    file = lane("file")
    rig.add(file, 0)  # a frame without a face is nothing to wait for
    rig.on_time(after_s=0.5)
    assert rig.archive() == []
    rig.add(file)
    rig.on_time()
    [batch] = rig.archive()
    assert batch.done is not None
    batch.done()
    assert rig.first == ["first"]
    rig.add(file)
    rig.on_time(after_s=0.5)
    assert len(rig.archive()) == 1


def test_a_commit_holds_records_state_progress_and_positions_of_every_archive_that_moved(rig: Rig) -> None:
    a, b, plain = job_lane("a", 3, position=40), job_lane("b", 4, position=50), lane("file")
    rig.outbox.positions({3: 41})
    rig.add(lane("first"))
    rig.on_time()
    rig.publisher.batches.clear()
    rig.checkpoints.taken.clear()
    for one in (a, b, plain):
        rig.add(one, 2)
    rig.on_time()
    assert rig.archive() == []
    rig.on_time(after_s=10)
    [batch] = rig.archive()
    assert [work for work, _ in batch.records].count("job:a") == 2 + 1 + 1
    assert batch.positions == {"job:a": (NAMES.jobs.name, 3, 41), "job:b": (NAMES.jobs.name, 4, 50)}
    told = statuses(batch)
    assert set(told) == {"a", "b"}
    assert (told["a"].state, told["a"].decoded, told["a"].records, told["a"].run) == ("running", 9, 6, "run")
    assert told["a"].finished_s is None
    [place] = {r.partition for _, r in batch.records if r.topic == NAMES.jobs_status.name and r.key == b"a"}
    assert place == 3  # beside its job
    assert {work for work, _ in rig.checkpoints.taken} == {"job:a", "job:b", "file"}
    rig.on_time(after_s=10)
    assert len(rig.archive()) == 1


@pytest.mark.parametrize(
    ("state", "result_state", "told"),
    [("done", "done", "done"), ("failed", "failed", "failed"), ("cancelled", "interrupted", "cancelled")],
)
def test_the_end_of_a_job_lies_in_its_last_commit(
    rig: Rig, state: JobState, result_state: RunState, told: JobState
) -> None:
    a = job_lane("a", 3)
    rig.add(a)
    result = SourceResult(
        stream="a",
        source="",
        mode="archive",
        state=result_state,
        cause="damaged",
        message="bad bytes",
    )
    rig.outbox.job_ends(a, state, result)
    rig.outbox.tell(status("a"))
    rig.outbox.last_of(a, lambda: None)
    [batch] = rig.archive()
    end = statuses(batch)["a"]
    assert (end.state, end.finished_s) == (told, rig.clock.wall_s())
    assert end.cause == ("cancelled" if told == "cancelled" else "damaged")
    [(work, after)] = batch.follow  # its last status comes behind the commit
    assert work == "job:a"
    assert [record.key for _, record in after.records] == [b"a"]
    rig.outbox.flush()
    assert rig.live() == []


def test_a_job_that_is_handed_over_waits_and_the_start_does_not_count(rig: Rig) -> None:
    for hand_over in (True, False):
        a = job_lane("a", 3)
        rig.add(a)
        if hand_over:
            rig.outbox.hand_over(a, lambda: None)
        else:
            rig.outbox.job_ends(a, "running", SourceResult(stream="a", source="", mode="archive", state="interrupted"))
            rig.outbox.last_of(a, lambda: None)
        told = statuses(rig.archive()[-1])["a"]
        assert (told.state, told.starts, told.worker) == ("waiting", 0, None)


def test_what_is_discarded_leaves_nothing_behind(rig: Rig) -> None:
    a, b, live = job_lane("a", 3), job_lane("b", 4), lane("cam", "live")
    for one in (a, b, live):
        rig.add(one)
    rig.outbox.discard(a)
    rig.outbox.discard(live)
    rig.outbox.flush()
    [batch] = rig.publisher.batches
    assert {work for work, _ in batch.records} == {"job:b"}
    assert set(batch.positions) == {"job:b"}
    assert rig.publisher.discarded == ["job:a", "cam"]
    rig.add(b)
    rig.outbox.discard(b)
    assert rig.outbox.due_s == float("inf")
    rig.outbox.flush()
    assert len(rig.publisher.batches) == 1


def test_archives_wait_for_room_and_do_not_keep_live_streams_waiting(rig: Rig) -> None:
    a, live = lane("file"), lane("cam", "live")
    rig.publisher.room = False
    rig.add(a)
    rig.add(live)
    rig.on_time(after_s=5)
    assert rig.archive() == []
    assert len(rig.live()) == 1
    assert rig.outbox.behind
    assert rig.outbox.due_s > rig.clock.monotonic_s()  # nobody runs in circles
    done: list[str] = []
    rig.outbox.last_of(a, lambda: done.append("a"))
    assert rig.archive() == []
    rig.add(a, 2 * CONFIG.checkpoint.archive_max_records)  # now it has to
    rig.on_time()
    [batch] = rig.archive()
    assert [work for work, _ in batch.follow] == ["file"]
    assert not rig.outbox.behind


def test_live_state_is_taken_at_once_then_every_interval_and_not_while_the_bus_is_away(rig: Rig) -> None:
    cam = lane("cam", "live")
    rig.outbox.opened(cam)
    rig.on_time(cam)
    assert rig.checkpoints.taken == [("cam", False)]
    rig.publisher.away = True
    for _ in range(20):
        rig.on_time(cam, after_s=1)
    assert len(rig.checkpoints.taken) == 1
    assert rig.outbox.snapshots_late_s > 5
    rig.publisher.away, rig.publisher.dropped = False, True
    rig.on_time(cam, after_s=1)
    assert rig.checkpoints.taken[1:] == [("cam", True)]
    for _ in range(20):
        rig.on_time(cam, after_s=1)
    assert rig.checkpoints.taken[2:] == [("cam", False)] * 4
    assert rig.publisher.never == [NAMES.state.name]


def test_live_state_is_held_to_its_bytes(rig: Rig) -> None:
    lanes = [lane(f"cam-{n}", "live") for n in range(100)]  # 10 KB each interval of 5 s, the bound is 1 KB/s
    for one in lanes:
        rig.outbox.opened(one)
    for _ in range(200):
        rig.on_time(*lanes, after_s=0.1)
    assert 150 <= len(rig.checkpoints.taken) <= 200
    assert len(set(rig.checkpoints.taken)) == 100
    assert rig.outbox.snapshots_late_s > 0


def test_a_live_stream_that_is_handed_over_leaves_its_state_last(rig: Rig) -> None:
    cam = lane("cam", "live")
    rig.outbox.opened(cam)
    rig.add(cam)
    done: list[str] = []
    rig.outbox.hand_over(cam, lambda: done.append("cam"))
    [batch] = rig.live()
    assert [record.topic for _, record in batch.records] == [NAMES.status.name, NAMES.state.name]
    assert batch.done is not None
