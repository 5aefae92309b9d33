"""Counters that only rise, whatever becomes of the processes that count."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.clock import FakeClock
from streamer.counting import LATENCY_BUCKETS_S, Counted
from streamer.messages import Job, JobStatus, SourceResult
from streamer.metrics import Metrics
from streamer.source import Source
from streamer.worker.link import JobOrder, Opened, StreamTick, Tick
from streamer.worker.meters import JOBS, Meters
from streamer.worker.orders import Order
from tests.unit.test_metrics import read

DOOR = Order("door", Source("door", "rtsp://cam", "rtsp", "live"))


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.meters = Meters(self.metrics, self.clock)

    def begin(self, order: Order = DOOR, *, restarts: int = 0, resumed_at_s: float | None = None) -> None:
        self.meters.placed(order, restarts)
        facts: dict[str, Any] = {"run": "r", "session": "s", "mode": "live", "width": 1, "height": 1, "fps": None}
        self.meters.opened(order, Opened(work=order.work, duration_s=None, resumed_at_s=resumed_at_s, **facts))

    def tick(self, decoded: int = 0, work: str = "door", **more: Any) -> None:
        facts: dict[str, Any] = {"analysed": 0, "faces": 0, "records": 0, "corrupt_packets": 0, "dropped": {}} | more
        one = StreamTick(work=work, media_time_s=0.0, faces_now=0, decoded=decoded, **facts)
        self.meters.ticked(Tick(streams=(one,), published=0, stage_s={}))

    def value(self, name: str, **labels: str) -> float | None:
        return read(self.metrics).get((f"streamer_{name}", tuple(sorted(labels.items()))))

    def decoded(self, stream: str = "door") -> float | None:
        return self.value("frames_decoded_total", stream=stream)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_a_stream_counts_is_told(rig: Rig) -> None:
    rig.begin()
    rig.tick(10, analysed=6, faces=4, records=5, corrupt_packets=1, dropped={"late": 3, "queue_full": 1})
    rig.tick(20, analysed=16, faces=4, records=5, corrupt_packets=1, dropped={"late": 3, "queue_full": 1, "budget": 2})
    assert rig.decoded() == 20
    assert rig.value("frames_analysed_total", stream="door") == 16
    assert rig.value("faces_total", stream="door") == 4
    assert rig.value("records_total", stream="door") == 5
    assert rig.value("corrupt_packets_total", stream="door") == 1
    dropped = {cause: rig.value("frames_dropped_total", stream="door", cause=cause) for cause in ("late", "closed")}
    assert dropped == {"late": 3, "closed": 0}
    assert rig.value("faces_dropped_total", stream="door", cause="budget") == 2
    assert rig.value("frames_dropped_total", stream="door", cause="budget") is None


def test_a_child_that_died_takes_nothing_of_the_counters_along(rig: Rig) -> None:
    rig.begin()
    rig.tick(100)
    rig.begin(restarts=1, resumed_at_s=3.0)
    rig.tick(90)  # goes on from a checkpoint
    assert rig.decoded() == 100
    rig.tick(115)
    assert rig.decoded() == 125  # 25 frames were decoded since
    assert rig.value("stream_restarts_total", stream="door") == 1


def test_a_child_that_begins_anew_counts_from_its_first_frame(rig: Rig) -> None:
    rig.begin()
    rig.tick(100)
    rig.begin(restarts=1)
    rig.tick(7)
    assert rig.decoded() == 107


def test_what_another_worker_counted_is_no_news(rig: Rig) -> None:
    rig.meters.placed(DOOR, 0)
    rig.tick(1000)  # the source is not open yet
    rig.tick(1010)
    assert rig.decoded() == 10


def test_the_last_frames_count_when_it_ends(rig: Rig) -> None:
    rig.begin()
    rig.tick(10)
    result = SourceResult(stream="door", source="", state="done", mode="live", decoded=13, dropped={"late": 2})
    rig.meters.ended(DOOR, result)
    assert rig.decoded() == 13
    assert rig.value("frames_dropped_total", stream="door", cause="late") == 2
    assert rig.value("source_state", stream="door", state="ended") == 1
    rig.tick(99)  # of a life that is over
    assert rig.decoded() == 13


def test_states_and_reconnects_come_from_the_children(rig: Rig) -> None:
    rig.begin()
    assert rig.value("source_state", stream="door", state="connecting") == 1
    rig.tick(state="live", entries={"connecting": 1, "live": 1})
    assert rig.value("source_reconnects_total", stream="door") == 0
    rig.tick(state="backing_off", entries={"connecting": 4, "live": 2, "backing_off": 3})
    assert rig.value("source_state", stream="door", state="backing_off") == 1
    assert rig.value("source_state", stream="door", state="live") == 0
    assert rig.value("source_reconnects_total", stream="door") == 1
    rig.begin(restarts=1)
    rig.tick(state="live", entries={"connecting": 1, "live": 1})
    transitions = {
        state: rig.value("source_transitions_total", stream="door", state=state) for state in ("connecting", "live")
    }
    assert transitions == {"connecting": 5, "live": 3}
    assert rig.value("source_reconnects_total", stream="door") == 1


def test_a_frames_age_grows_while_nobody_tells_of_it(rig: Rig) -> None:
    rig.begin()
    rig.tick(state="live", frame_age_s=0.5, reorder_delay_s=0.08)
    assert rig.value("reorder_delay_seconds", stream="door") == 0.08
    rig.clock.advance(30.0)
    assert rig.value("frame_age_seconds", stream="door") == pytest.approx(30.5)
    rig.meters.ended(DOOR, SourceResult(stream="door", source="", state="done", mode="live"))
    assert rig.value("frame_age_seconds", stream="door") is None
    assert rig.value("reorder_delay_seconds", stream="door") is None


def test_latencies_of_several_children_are_one_histogram(rig: Rig) -> None:
    def latency(*first: int, sum_s: float) -> Counted:
        return Counted(first + (0,) * (len(LATENCY_BUCKETS_S) - len(first)), sum_s)

    rig.begin()
    rig.tick(latency=latency(2, 1, sum_s=0.03))
    rig.tick(latency=latency(2, 3, sum_s=0.06))
    rig.tick(latency=latency(1, 0, sum_s=0.005))  # the child forgot, and began again
    assert rig.value("latency_seconds_count", stream="door") == 6
    rig.begin(restarts=1, resumed_at_s=1.0)
    rig.tick(latency=latency(5, 5, sum_s=0.1))
    assert rig.value("latency_seconds_bucket", stream="door", le="0.01") == 8
    assert rig.value("latency_seconds_count", stream="door") == 16
    assert rig.value("latency_seconds_sum", stream="door") == pytest.approx(0.06 + 0.005 + 0.1)


def test_streams_that_are_wanted_no_more_leave(rig: Rig) -> None:
    rig.begin()
    rig.tick(10)
    rig.meters.keep([])  # it runs still
    assert rig.decoded() == 10
    rig.meters.ended(DOOR, SourceResult(stream="door", source="", state="interrupted", mode="live", decoded=10))
    rig.meters.keep(["door"])
    assert rig.decoded() == 10
    rig.meters.keep([])
    assert not [labels for _, labels in read(rig.metrics) if ("stream", "door") in labels]


def test_jobs_count_together(rig: Rig) -> None:
    for number in (1, 2):
        job = Job(job=f"j{number}", batch="b", stream=f"clip{number}", source="/c.mp4")
        status = JobStatus(job=job.job, batch="b", stream=job.stream, source="/c.mp4", state="running")
        source = Source(job.stream, "/c.mp4", "file", "archive")
        order = Order(f"job:{job.job}", source, job=JobOrder(job=job, status=status, partition=0, position=0))
        rig.begin(order)
        rig.tick(50, work=order.work, state="live", entries={"live": 1})
    assert rig.decoded(JOBS) == 100
    assert {dict(labels).get("stream") for _, labels in read(rig.metrics)} <= {JOBS, None}
