"""A worker's place in its fleet, as metrics."""

from __future__ import annotations

from streamer.bus.protocol import Load
from streamer.metrics import Metrics
from streamer.worker.fleet_meters import FleetMeters
from tests.unit.test_metrics import read


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return read(metrics).get((f"streamer_{name}", tuple(sorted(labels.items()))))


def test_partitions_come_and_go() -> None:
    metrics = Metrics()
    meters = FleetMeters(metrics, ("streams", "jobs"))
    assert meters.without == ["streams", "jobs"]
    assert value(metrics, "partitions_assigned", role="streams") == 0
    meters.moved("streams", "assigned", frozenset(range(8)))
    meters.moved("streams", "revoked", frozenset((0, 1)))
    meters.moved("streams", "lost", frozenset((2,)))
    meters.moved("streams", "lost", frozenset((2,)))  # told twice
    assert meters.without == ["jobs"]
    assert value(metrics, "partitions_assigned", role="streams") == 5
    moves = {
        m: value(metrics, "partition_moves_total", role="streams", move=m) for m in ("assigned", "revoked", "lost")
    }
    assert moves == {"assigned": 8, "revoked": 2, "lost": 1}
    assert value(metrics, "rebalances_total", role="streams") == 3


def test_jobs_wait_run_end_and_are_tried_again() -> None:
    metrics = Metrics()
    meters = FleetMeters(metrics, ("jobs",))
    meters.look(Load("w", 4, 0.0, ((0, 3, 0.0), (5, 2, 0.0))), n_running=2)
    meters.job_ended("done")
    meters.job_ended("failed")
    meters.job_ended("retrying")
    assert value(metrics, "jobs", state="running") == 2
    assert value(metrics, "jobs", state="waiting") == 3
    assert value(metrics, "jobs_ended_total", state="done") == 1
    assert value(metrics, "jobs_ended_total", state="failed") == 1
    assert value(metrics, "jobs_retried_total") == 1
