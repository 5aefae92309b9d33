"""When a process is ready, and what it says before and after that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamer import __version__
from streamer.control.words import Readiness
from streamer.worker.link import Message, Ready, Release, Start
from streamer.worker.readiness import readiness
from tests.unit.worker.fleet_rig import Actors, Rig, ended, good


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"n_ready": 0, "draining": False, "joining": True}, "joining"),
        ({"n_ready": 0, "draining": False}, "models_loading"),
        ({"n_ready": 1, "draining": False, "without": ["jobs"]}, "no_partitions"),
        ({"n_ready": 1, "draining": True}, "draining"),
        ({"n_ready": 1, "draining": False}, None),
    ],
)
def test_what_is_missing_is_said(facts: dict[str, Any], cause: str | None) -> None:
    found = readiness(**facts)
    assert (found.ready, found.cause) == (cause is None, cause)
    assert (found.reason is None) == (cause is None)


def test_a_bus_that_is_away_is_named() -> None:
    found = readiness(draining=False, n_ready=1, joining=True, bus_away_s=12.0)
    assert found.reason == "it waits for the bus, which has not answered for 12 s."


def silent(children: Actors, child: int, message: Message) -> None:
    """Children that load their models until they are told otherwise, and let go of nothing."""
    if not isinstance(message, Start | Release):
        good(children, child, message)


def test_a_worker_is_ready_with_warm_models_and_partitions_and_no_more_while_it_drains(
    rig: Callable[..., Rig],
) -> None:
    one = rig(silent, drain_s=60.0)

    def now() -> Readiness:
        return one.worker.control.readiness()

    assert one.wait(lambda: one.children.of(Start), "a child is started before there is work")
    assert now().cause in ("joining", "models_loading")
    one.wait(lambda: now().cause == "models_loading", "it has joined, and waits for the models")
    one.children.say(0, Ready(precision="fp32", device="none", load_s=0.1))
    one.wait(lambda: now().ready, "it is ready once it has partitions")
    one.children.die(0)
    one.wait(lambda: now().cause == "models_loading", "without a child it is not")
    one.add("door")
    one.wait(lambda: one.opens("door"), "another child has the stream")
    [number] = one.children.living
    one.children.say(number, Ready(precision="fp32", device="none", load_s=0.1))
    one.wait(lambda: now().ready, "it is ready again")
    one.worker.interrupt()
    one.wait(lambda: now().cause == "draining", "it drains, and says so")
    one.worker.interrupt()


def test_what_the_fleet_does_is_metrics(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.submit("j1")
    one.wait(lambda: one.opens("door") and one.opens("job:j1"), "both are opened")

    def told(name: str, **labels: str) -> float:
        value = one.worker.control.metrics.registry.get_sample_value(f"streamer_{name}", labels)
        return -1.0 if value is None else value

    one.wait(lambda: told("streams", phase="running") == 1, "the stream runs")
    one.wait(lambda: told("jobs", state="running") == 1, "the job runs")
    one.wait(lambda: told("ready") == 1, "it is ready")
    assert told("partitions_assigned", role="streams") == 4
    assert told("partitions_assigned", role="jobs") > 0
    assert told("children", state="ready") == 1
    assert told("info", role="worker", version=__version__) == 1
    one.children.say(0, ended("job:j1", "done", job_state="done"))
    one.wait(lambda: told("jobs_ended_total", state="done") == 1, "the job has ended")
