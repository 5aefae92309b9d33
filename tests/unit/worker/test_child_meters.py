"""What children tell of themselves, as metrics that only rise."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.counting import FILL_BUCKETS, SIZE_BUCKETS, STAGE_BUCKETS_S, Counted, Counting
from streamer.metrics import Metrics
from streamer.worker.child_meters import ChildMeters
from streamer.worker.link import Batches, Ready, Tick
from tests.unit.test_metrics import read


class Rig:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.meters = ChildMeters(self.metrics)

    def tick(self, child: int = 0, **more: Any) -> None:
        facts: dict[str, Any] = {"streams": (), "published": 0, "stage_s": {}} | more
        self.meters.ticked(child, Tick(**facts))

    def value(self, name: str, **labels: str) -> float | None:
        return read(self.metrics).get((f"streamer_{name}", tuple(sorted(labels.items()))))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def counted(bounds: tuple[float, ...], *values: float) -> Counted:
    counting = Counting(bounds)
    for value in values:
        counting.observe(value)
    return counting.counted


def test_stages_of_all_children_are_one_histogram(rig: Rig) -> None:
    rig.tick(0, stage_s={"detect": 1.0}, passes={"detect": counted(STAGE_BUCKETS_S, 0.002, 0.02)})
    rig.tick(0, stage_s={"detect": 1.5}, passes={"detect": counted(STAGE_BUCKETS_S, 0.002, 0.02, 0.02)})
    rig.tick(1, stage_s={"detect": 0.25}, passes={"detect": counted(STAGE_BUCKETS_S, 0.02)})
    assert rig.value("stage_cpu_seconds_total", stage="detect") == 1.75
    assert rig.value("stage_duration_seconds_count", stage="detect") == 4
    assert rig.value("stage_duration_seconds_bucket", stage="detect", le="0.0025") == 1
    assert rig.value("stage_duration_seconds_sum", stage="detect") == pytest.approx(0.062)


def test_batches_are_told_by_their_frames_faces_and_fill(rig: Rig) -> None:
    batches = Batches(
        frames=counted(SIZE_BUCKETS, 4, 8), faces=counted(SIZE_BUCKETS, 0, 6), fill=counted(FILL_BUCKETS, 0.5, 1.0)
    )
    rig.tick(batches=batches)
    rig.tick(batches=batches)
    assert rig.value("batch_frames_sum") == 12
    assert rig.value("batch_faces_count") == 2
    assert rig.value("batch_fill_ratio_bucket", le="0.5") == 1


def test_what_goes_to_the_bus_is_told(rig: Rig) -> None:
    rig.tick(
        0, published=10, spooled=5, replayed=2, discarded=1, waiting=2, unacknowledged=3, lag_s=4.0, bus_away_s=4.0
    )
    rig.tick(1, published=1)
    assert rig.value("records_published_total") == 11
    assert rig.value("spool_spooled_records_total") == 5
    assert rig.value("spool_replayed_records_total") == 2
    assert rig.value("spool_discarded_records_total") == 1
    assert rig.value("spool_waiting_records", child="0") == 2
    assert rig.value("bus_unacknowledged_records", child="0") == 3
    assert rig.value("bus_lag_seconds", child="0") == 4.0
    assert rig.value("bus_away_seconds", child="0") == 4.0


def test_what_a_broker_gave_back_counts_once(rig: Rig) -> None:
    rig.tick(published=100)
    rig.tick(published=90)  # ten were in doubt, and go through the spool
    rig.tick(published=104)
    assert rig.value("records_published_total") == 104


def test_a_child_that_was_replaced_counts_on(rig: Rig) -> None:
    rig.meters.began()
    rig.tick(published=100, hung=2, stage_s={"embed": 2.0}, passes={"embed": counted(STAGE_BUCKETS_S, 0.02)})
    assert rig.value("hung_decoders", child="0") == 2
    rig.meters.ended(0, -9)
    for gone in ("hung_decoders", "bus_lag_seconds", "spool_waiting_records"):
        assert rig.value(gone, child="0") is None
    rig.meters.began()
    rig.tick(published=7, stage_s={"embed": 0.5}, passes={"embed": counted(STAGE_BUCKETS_S, 0.02)})
    assert rig.value("records_published_total") == 107
    assert rig.value("stage_cpu_seconds_total", stage="embed") == 2.5
    assert rig.value("stage_duration_seconds_count", stage="embed") == 2
    assert rig.value("children_started_total") == 2


def test_how_children_end_is_told_by_their_exit_code(rig: Rig) -> None:
    for exit_code in (0, 1, 1, -9):
        rig.meters.ended(0, exit_code)
    ended = {how: rig.value("children_ended_total", how=how) for how in ("left", "failed", "killed")}
    assert ended == {"left": 1, "failed": 2, "killed": 1}


def test_children_are_starting_or_ready(rig: Rig) -> None:
    rig.meters.ready(0, Ready(precision="fp32", device="cpu", load_s=0.7))
    rig.meters.look(ready=1, alive=3, bus_away_s=2.5)
    assert rig.value("models_load_seconds", child="0") == 0.7
    assert rig.value("children", state="ready") == 1
    assert rig.value("children", state="starting") == 2
    assert rig.value("bus_away_seconds", child="supervisor") == 2.5


def test_helpers_are_a_childs(rig: Rig) -> None:
    rig.tick(2, helpers=(11, 12))
    assert rig.meters.helpers() == {2: (11, 12)}
