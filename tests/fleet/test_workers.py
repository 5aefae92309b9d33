"""Workers that share, fall over, freeze and wait: several of them on one bus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from engines.zoo.sample import fetch_sample
from streamer.bench.checker import check_archive, check_live
from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from streamer.messages import JOB_OVER, Job
from tests.fleet.conftest import SESSION_S

pytestmark = pytest.mark.models
QUICK = {"fleet.session_timeout_s": SESSION_S, "checkpoint.archive_interval_s": 0.3}


def test_workers_on_one_file_share_jobs_and_finish_those_of_a_killed_one(ground_of_a_file: Ground) -> None:
    recording = ground_of_a_file.recording(3.0)
    with ground_of_a_file.site("shared", [recording], QUICK) as site:
        view = site.view("jobs.status")
        for name in ("one", "two"):
            site.start(name)
        share = f"topic={site.prefix}.jobs"  # submitted before, all might be done when the slower one begins
        site.until(view, lambda: all(share in worker.said() for worker in site.running()), "each has its share")
        jobs = site.submit({f"file-{k}": recording for k in range(6)})
        site.until(view, lambda: all(_is_at_work(view, jobs, name) for name in ("one", "two")), "both at work")
        site.workers["one"].kill()
        site.until_over(view, jobs)
        _check_done(site, view, jobs)
        assert {view.jobs[job.job].worker for job in jobs} >= {"two"}
        assert site.workers["two"].stop() == 0


@pytest.mark.kafka
def test_a_job_under_which_every_child_dies_is_a_dead_letter_and_the_others_are_done(ground: Ground) -> None:
    recording = ground.recording(1.0)
    settings = {**QUICK, "fleet.job_attempts": 2, "fleet.job_retry_s": 0.1, "worker.max_restarts": 1}
    with ground.site("poison", [recording], settings) as site:
        view = site.view("jobs.status", "deadletter")
        site.start("poisoned", fault="commit.begin:1")
        site.start("sound")
        share = f"topic={site.prefix}.jobs"
        site.until(view, lambda: all(share in worker.said() for worker in site.running()), "each has its share")
        jobs = site.submit({f"file-{k}": recording for k in range(4)})
        site.until_over(view, jobs)
        ended = {job.job: view.jobs[job.job] for job in jobs}
        done = [status for status in ended.values() if status.state == "done"]
        failed = [status for status in ended.values() if status.state == "failed"]
        assert done, ended
        assert {status.worker for status in done} == {"sound"}
        assert failed, ended
        assert {status.cause for status in failed} <= {"child_died", "poisonous"}
        site.until(view, lambda: len(view.letters) == len(failed), "the dead letters")


@pytest.mark.kafka
def test_what_exceeds_a_workers_capacity_waits_and_moves_when_another_comes(ground: Ground) -> None:
    camera = ground.camera()
    with ground.site("capacity", [camera], {**QUICK, "fleet.max_streams": 2}) as site:
        view = site.view()
        streams = site.names("camera", 4)
        site.start("one")
        site.define(dict.fromkeys(streams, camera))
        site.until(
            view,
            lambda: sorted(str(view.state(one)) for one in streams) == ["live", "live", "waiting", "waiting"],
            "two streams live and two waiting",
        )
        waiting = next(one for one in streams if view.state(one) == "waiting")
        assert view.statuses[waiting].cause == "capacity"
        assert "at most 2 streams" in str(view.statuses[waiting].message)
        site.define({waiting: camera}, priority=5)
        site.until(view, lambda: view.state(waiting) == "live", "room for what is more urgent")
        site.start("two")
        site.until_live(view, streams)
        assert {view.owner(one) for one in streams} == {"one", "two"}
        site.stop_all()
        assert check_live(site.bus, site.prefix).good


@pytest.mark.kafka
@pytest.mark.timeout(900)  # a minute of video beside eight cameras, on whatever machine
def test_a_worker_that_was_frozen_for_dead_does_no_harm_when_it_goes_on(ground: Ground) -> None:
    camera, recording = ground.camera(), ground.recording(30.0)
    with ground.site("frozen", [camera, recording], QUICK) as site:
        view = site.view()
        streams = site.names("camera", 8)
        for name in ("one", "two"):
            site.start(name)
        site.define(dict.fromkeys(streams, camera))
        site.until_live(view, streams)
        jobs = site.submit({f"file-{k}": recording for k in range(2)})
        site.until(view, lambda: any(view.n_observations[one] > 8 for one in streams), "observations")
        owned = [one for one in streams if view.owner(one) == "one"]
        assert owned, "worker one has streams to lose"
        site.workers["one"].pause()
        site.until(view, lambda: all(view.owner(one) == "two" for one in owned), "the other takes its streams")
        site.workers["one"].resume()
        site.until_over(view, jobs)
        site.until_live(view, streams)
        _check_done(site, view, jobs)
        site.stop_all()
        verdict = check_live(site.bus, site.prefix, keep=lambda stream: stream in streams)
        assert verdict.good, verdict


@pytest.mark.kafka
def test_a_worker_waits_for_a_broker_that_is_down_and_begins_when_it_comes(stoppable: Ground) -> None:
    camera, broker = stoppable.camera(), stoppable.broker
    assert broker is not None
    with stoppable.site("early", [camera], QUICK) as site:
        view = site.view()
        site.define({"door": camera})
        broker.kill()
        worker = site.start("one")
        try:
            site.until(view, lambda: "bus.away" in worker.said(), "the worker says that it waits")
            assert worker.running
        finally:
            broker.restart()
        site.until_live(view, ["door"])
        assert worker.stop() == 0


@pytest.fixture
def ground_of_a_file(fleet_folder: Path, tmp_path: Path) -> Ground:
    return Ground(f"sqlite:///{tmp_path}/bus.db", fleet_folder, fetch_sample())


def _is_at_work(view: View, jobs: Sequence[Job], worker: str) -> bool:
    return any(
        status.worker == worker and status.records and status.state not in JOB_OVER
        for job in jobs
        if (status := view.jobs.get(job.job)) is not None
    )


def _check_done(site: Site, view: View, jobs: Sequence[Job]) -> None:
    """Every job is done, all of the same file have as many records, and the archive has each once."""
    ended = [view.jobs[job.job] for job in jobs]
    assert {status.state for status in ended} == {"done"}, ended
    assert len({status.records for status in ended}) == 1, ended
    verdict = check_archive(site.bus, site.prefix)
    assert verdict.good, verdict
    assert verdict.records == sum(status.records for status in ended)
