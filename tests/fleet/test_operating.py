"""A worker on Kafka that is looked at: ready once it can work, and told of by the doctor when it cannot."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.workers import WorkerProcess
from streamer.control.client import Asked, NotAsked
from tests.fleet.conftest import SESSION_S
from tests.product import streamer

pytestmark = [pytest.mark.models, pytest.mark.kafka]
SETTINGS = {
    "fleet.session_timeout_s": SESSION_S,
    "checkpoint.archive_interval_s": 0.3,
    "metrics.address": "127.0.0.1:0",
}


def asked(site: Site, worker: WorkerProcess) -> Asked:
    found: list[str] = []

    def tells() -> bool:
        found[:] = re.findall(r"http://127\.0\.0\.1:\d+", worker.said())
        return bool(found)

    site.until(site.view(), tells, "the worker tells where it shows itself")
    return Asked(found[0])


def cause(of: Asked) -> str | None:
    """Why it is not ready; `ready` where it is, None where nobody answers. Asks ten times a second at most."""
    time.sleep(0.1)
    try:
        return str(of.readiness()["cause"] or "ready")
    except NotAsked:
        return None


def doctor(of: Asked, folder: Path, seconds: float = 1.0) -> tuple[int, dict[str, dict[str, Any]]]:
    done = streamer("doctor", "--at", of.url, "--for", str(seconds), "--json", cwd=folder)
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}


@pytest.mark.timeout(600)
def test_a_worker_is_ready_with_its_share_and_the_doctor_hears_of_a_child_that_dies(ground: Ground) -> None:
    camera, recording = ground.camera(), ground.recording(1.0)
    with ground.site("shown", [camera, recording], SETTINGS) as site:
        view = site.view("jobs.status")
        worker = site.start("one")
        of = asked(site, worker)
        site.until(view, lambda: cause(of) == "ready", "it is ready")
        told = of.scrape()
        assert told.total("streamer_partitions_assigned", role="streams") == 8
        assert told.total("streamer_rebalances_total", role="jobs") >= 1
        site.define({"door": camera})
        jobs = site.submit({"file": recording})
        site.until_over(view, jobs)
        site.until(view, lambda: [one["state"] for one in of.streams()] == ["live"], "the stream is live")
        # The bus has a job's end before the supervisor hears of it.
        site.until(view, lambda: of.scrape().total("streamer_jobs_ended_total", state="done") == 1, "it is counted")
        told, job = of.scrape(), view.jobs[jobs[0].job]
        assert told.total("streamer_records_total", stream="(jobs)") == job.records
        assert told.total("streamer_ready") == 1

        for child in worker.children():
            child.kill()
        site.until(view, lambda: of.scrape().total("streamer_children_ended_total", how="killed") == 1, "it died")
        site.until(view, lambda: [one["state"] for one in of.streams()] == ["live"], "another has the stream")
        _, signs = doctor(of, site.folder)
        assert "1 child processes died since the start (1 killed, 0 failed)" in signs["children"]["detail"]
        assert worker.stop() == 0
        assert cause(of) is None


@pytest.mark.timeout(900)
def test_the_doctor_says_that_the_broker_is_away_and_that_records_wait(stoppable: Ground) -> None:
    camera, broker = stoppable.camera(), stoppable.broker
    assert broker is not None
    with stoppable.site("away", [camera], SETTINGS) as site:
        view = site.view()
        worker = site.start("one")
        site.define({"door": camera})
        site.until_live(view, ["door"])
        of = asked(site, worker)
        site.until(view, lambda: of.scrape().largest("streamer_bus_away_seconds") == 0, "the bus is there")
        broker.kill()
        try:
            site.until(view, lambda: of.scrape().largest("streamer_bus_away_seconds") > 6, "it is away for a while")
            site.until(view, lambda: of.scrape().total("streamer_spool_waiting_records") > 0, "records wait")
            code, signs = doctor(of, site.folder)
            assert code == 1
            assert "the bus has not answered for" in signs["bus"]["detail"]
            assert "records wait on the disk for the bus" in signs["spool"]["detail"]
            assert of.readiness()["ready"] is True  # it goes on working
        finally:
            broker.restart()
        site.until(view, lambda: of.scrape().total("streamer_spool_waiting_records") == 0, "they are delivered")
        told = of.scrape()
        assert told.total("streamer_spool_replayed_records_total") > 0
        assert told.total("streamer_spool_discarded_records_total") == 0
        assert worker.stop() == 0
