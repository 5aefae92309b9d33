"""The scenarios of `streamer bench fleet` in short: the same programs, smaller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.bench.fleet import churn, cycles, kills, outage, takeover
from streamer.bench.fleet.ground import Ground
from tests.fleet.conftest import SESSION_S

SHORT: dict[str, Any] = {
    "away_s": 20.0,
    "times": 1,
    "frozen_s": 8.0,
    "throttled_s": 5.0,
    "bytes_per_s": 5000,
    "n_jobs": 2,
    "job_s": 5.0,
    "settle_s": 0.0,
    "undisturbed_s": 1.0,
}
pytestmark = [pytest.mark.kafka, pytest.mark.models]


def test_workers_killed_at_every_step_of_the_commit_leave_every_record_once(ground: Ground) -> None:
    found = kills.run(ground, n_kills=len(kills.STEPS), per_round=len(kills.STEPS), jobs_each=2, job_s=3.0)
    assert found["good"], json.dumps(found, indent=1)
    assert set(found["kills_by_step"].values()) == {1}
    assert (found["missing"], found["twice"], found["changed"]) == (0, 0, 0)


def test_a_killed_workers_streams_are_restored_elsewhere(ground: Ground) -> None:
    found = takeover.run(ground, repeats=1, session_timeout_s=SESSION_S, allowed_s=20.0)
    assert found["good"], json.dumps(found, indent=1)


def test_workers_that_come_and_go_leave_one_owner_a_stream(ground: Ground) -> None:
    found = churn.run(ground, minutes=0.5, pause_s=(2.0, 5.0), session_timeout_s=SESSION_S)
    assert found["good"], json.dumps(found, indent=1)
    assert found["happened"].get("kill")
    assert found["verdict"]["epochs"] > found["streams"] * 3  # some streams changed hands


def test_streams_that_come_and_go_leave_nothing_behind(ground: Ground) -> None:
    # So young a process still grows; the 1,000 cycles of the program judge memory more strictly.
    found = cycles.run(ground, n_cycles=30, at_once=10, warm_up_s=15.0, rss_allowed=0.5)
    assert found["good"], json.dumps(found, indent=1)


def test_nothing_is_lost_while_the_broker_is_gone_frozen_or_slow(stoppable: Ground) -> None:
    found = outage.run(stoppable, **SHORT)
    assert found["good"], json.dumps(found, indent=1)
    # A coarse bound on four young processes; the program's longer stops show the slope.
    assert found["memory"]["grown_mb"] < 400, json.dumps(found, indent=1)
