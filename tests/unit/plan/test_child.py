"""A child in virtual time, against what arithmetic and a queue's textbook say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from streamer.config import BatchSettings, CheckpointSettings, Config, FrameSettings
from streamer.plan.child import Child, ChildOutcome
from streamer.plan.costs import Costs
from streamer.plan.load import Bill, StreamLoad
from tests.unit.plan.examples import ONE_BY_ONE, bare, curve


def ran(
    costs: Costs,
    loads: Sequence[StreamLoad],
    config: Config = ONE_BY_ONE,
    *,
    cores: float = 1.0,
    interval_s: float = 0.0,
    seed: int = 0,
    duration_s: float = 60.0,
) -> ChildOutcome:
    return Child(Bill(costs, interval_s), loads, config, cores=cores, rng=random.Random(seed)).run(duration_s)


def streams(n: int, fps: float, **changes: Any) -> list[StreamLoad]:
    return [StreamLoad(fps, 640, 360, **changes)] * n


def test_below_saturation_utilisation_is_arrivals_by_cost() -> None:
    costs = bare(decode_s=0.002, align_s=0.001, frame_s=0.0005, face_s=0.0005, child_s=0.05, stream_s=0.001)
    outcome = ran(costs, streams(4, 10.0, faces=2.0))
    by_hand = 0.05 + 4 * (0.001 + 10 * (0.002 + 0.01 + 0.0005 + 2 * (0.001 + 0.0005 + 1e-6)))
    assert outcome.utilisation == pytest.approx(by_hand, rel=0.01)
    assert outcome.analysed == pytest.approx(4 * 10 * 60, abs=4)
    assert outcome.dropped == {}


@pytest.mark.parametrize("utilisation", [0.3, 0.6])
def test_waiting_is_that_of_a_queue_with_random_arrivals_and_equal_service(utilisation: float) -> None:
    """M/D/1: the mean wait is rho s / (2 (1 - rho)). Slow streams together arrive at random and overflow nothing."""
    service_s = 0.01
    outcome = ran(bare(), streams(40, utilisation / service_s / 40, faces=0.0, pattern="poisson"), duration_s=200.0)
    wait_s = sum(outcome.ready_s) / len(outcome.ready_s) - service_s
    assert wait_s == pytest.approx(utilisation * service_s / (2 * (1 - utilisation)), rel=0.1)


def test_above_saturation_the_newest_frames_win_and_the_others_are_counted() -> None:
    outcome = ran(bare(), streams(8, 25.0))  # 2 seconds of work each second
    assert outcome.utilisation == pytest.approx(1.0, abs=0.01)
    assert outcome.analysed == pytest.approx(100 * 60, rel=0.01)
    assert outcome.dropped["queue_full"] == pytest.approx(100 * 60, rel=0.02)
    assert outcome.lost_share == pytest.approx(0.5, abs=0.01)
    assert max(outcome.ready_s) < 0.5, "nothing queues for long: the newest frame wins"


def test_drops_begin_where_work_exceeds_the_core() -> None:
    shares = [ran(bare(), streams(n, 10.0), duration_s=20.0).lost_share for n in (8, 9, 12, 16)]
    assert shares[:2] == [0.0, 0.0]
    assert 0.1 < shares[2] < shares[3]


def test_a_batch_that_is_cheaper_lowers_the_cost_and_only_where_there_is_company() -> None:
    batched = Config(batch=BatchSettings(max_frames=8, max_wait_s=0.05))
    dear, cheap = bare(search=curve(0.01, 0.01, 0.01)), bare(search=curve(0.01, 0.006, 0.004))
    many, one = streams(20, 10.0), streams(1, 10.0)
    assert ran(dear, many, batched).lost_share > 0.3
    together = ran(cheap, many, batched)
    assert together.lost_share == 0.0
    assert together.analysed / together.batches > 4
    assert ran(cheap, one, batched).cpu_s == ran(dear, one, batched).cpu_s


def test_frames_wait_for_company_no_longer_than_the_policy_says() -> None:
    costs, config = bare(search=curve(0.001, 0.001, 0.001)), Config(batch=BatchSettings(max_frames=8, max_wait_s=0.02))
    outcome = ran(costs, streams(1, 10.0), config)
    assert min(outcome.ready_s) == pytest.approx(0.021, abs=0.001)
    assert max(outcome.ready_s) == pytest.approx(0.021, abs=0.001)


def test_a_seed_decides_everything() -> None:
    loads = streams(9, 10.0, faces=1.5, pattern="poisson")
    once, again, other = (ran(bare(), loads, seed=seed, duration_s=10.0) for seed in (3, 3, 4))
    assert once == again
    assert once != other


def test_frames_that_are_not_sampled_are_decoded_and_no_more() -> None:
    outcome = ran(bare(decode_s=0.001), streams(1, 25.0, sample_fps=5.0))
    assert outcome.analysed == pytest.approx(300, abs=2)
    assert outcome.dropped["sample_rate"] == pytest.approx(20 * 60, abs=5)
    assert outcome.lost_share == 0.0
    assert outcome.cpu_s == pytest.approx(60 * (25 * 0.001 + 5 * 0.01), rel=0.01)


def test_between_searches_faces_are_refined() -> None:
    costs = bare(refine=curve(0.001, 0.001, 0.001))
    every, some = ran(costs, streams(1, 25.0)), ran(costs, streams(1, 25.0), interval_s=0.2)
    assert every.cpu_s == pytest.approx(60 * 25 * 0.01, rel=0.01)
    assert some.cpu_s == pytest.approx(60 * (5 * 0.01 + 20 * 0.001), rel=0.02)


def test_a_decoder_that_cannot_follow_is_behind() -> None:
    outcome = ran(bare(decode_s=0.05, search=curve(1e-4, 1e-4, 1e-4)), streams(1, 40.0))
    assert outcome.dropped["behind"] > 0.4 * outcome.wanted
    assert outcome.utilisation == pytest.approx(1.0, abs=0.01)


def test_late_frames_are_dropped_where_that_is_set() -> None:
    config = Config(batch=BatchSettings(max_frames=1, max_wait_s=0.0), frames=FrameSettings(late_s=0.05))
    outcome = ran(bare(), streams(16, 10.0), config)
    assert outcome.dropped["late"] > 0
    assert max(outcome.ready_s) <= 0.05 + 0.011


def test_a_budget_of_faces_leaves_faces_out() -> None:
    config = msgspec.structs.replace(ONE_BY_ONE, frames=FrameSettings(max_faces=2))
    costs = bare(align_s=0.001)
    outcome = ran(costs, streams(1, 10.0, faces=5.0), config)
    assert outcome.dropped["budget"] == pytest.approx(3 * 600, abs=6)
    assert outcome.cpu_s == pytest.approx(600 * (0.01 + 2 * 0.001), rel=0.01)


def test_records_leave_together_and_are_acknowledged() -> None:
    config = Config(batch=BatchSettings(max_frames=1, max_wait_s=0.0), checkpoint=CheckpointSettings(live_flush_s=0.1))
    outcome = ran(bare(acknowledge_s=0.03, flush_s=0.001), streams(1, 5.0), config)
    assert len(outcome.sent_s) == pytest.approx(300, abs=3)
    assert min(outcome.sent_s) == pytest.approx(0.01 + 0.1 + 0.001 + 0.03, abs=0.001)
    assert max(outcome.sent_s) == pytest.approx(min(outcome.sent_s), abs=0.001)
    assert ran(bare(), streams(1, 10.0, faces=0.0)).sent_s == (), "a frame without a face has no record to wait for"


def test_others_pass_a_crowd_in_the_middle_of_its_frame() -> None:
    """40 faces of 10 ms each: without passing, another stream's frame would wait for all of them."""
    costs = bare(align_s=0.01)
    loads = [StreamLoad(1.0, 640, 360, faces=40.0), *streams(1, 10.0, faces=0.0)]
    outcome = ran(costs, loads, Config())
    quick = sorted(outcome.ready_s)[: 9 * len(outcome.ready_s) // 11]
    assert quick[-1] < 0.1
    assert max(outcome.ready_s) > 0.4


def test_more_cores_let_decoders_work_beside_the_loop() -> None:
    costs, loads = bare(decode_s=0.01), streams(7, 10.0)
    assert ran(costs, loads, cores=1.0).lost_share > 0.1
    assert ran(costs, loads, cores=2.0).lost_share == 0.0


def test_a_loop_is_one_thread_however_many_cores_there_are() -> None:
    outcome = ran(bare(), streams(15, 10.0), cores=8.0)
    assert outcome.loop_s == pytest.approx(60.0, rel=0.01)
    assert outcome.analysed == pytest.approx(6000, rel=0.01)
