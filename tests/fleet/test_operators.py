"""What operators do while a fleet runs: change, pause, remove, cancel; and what becomes of what cannot be done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.bench.checker import check_archive
from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from tests.product import streamer

pytestmark = [pytest.mark.kafka, pytest.mark.models]


@pytest.fixture(scope="module")
def site(ground: Ground) -> Iterator[Site]:
    """One worker, two jobs at once, quick to try again."""
    settings = {"fleet.job_slots": 2, "fleet.job_retry_s": 0.5, "fleet.starts_per_s": 100.0}
    with ground.site("operators", [ground.camera()], settings) as site:
        site.start("one", {"checkpoint.archive_interval_s": 0.3})
        yield site


@pytest.fixture(scope="module")
def view(site: Site) -> View:
    return site.view()


def command(site: Site, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = streamer(*arguments, "--config", site.folder / "one.yaml", cwd=site.folder)
    assert done.returncode == 0, done.stderr
    return done


def test_a_stream_is_slowed_paused_resumed_and_removed_while_it_runs(site: Site, view: View, ground: Ground) -> None:
    command(site, "streams", "add", f"door={ground.camera()}", "--fps", "2", "--repeat")
    site.until_live(view, ["door"])
    first = view.statuses["door"].epoch
    command(site, "streams", "set", "door", "--fps", "1")
    site.until(view, lambda: view.statuses["door"].dropped.get("sample_rate", 0) >= 2, "every second frame passed over")
    assert view.statuses["door"].epoch == first  # no new owner, no new connection
    command(site, "streams", "pause", "door")
    site.until(view, lambda: view.state("door") == "paused", "the pause")
    command(site, "streams", "resume", "door")
    site.until_live(view, ["door"])
    assert view.statuses["door"].epoch > first
    command(site, "streams", "remove", "door")
    site.until(view, lambda: view.state("door") == "ended", "the end")


def test_a_definition_that_is_not_allowed_is_a_dead_letter_that_watch_shows(site: Site, view: View) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "streamer", "streams", "watch", "--for", "60", "--json", "--config", "one.yaml"],
        cwd=site.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        command(site, "streams", "add", "until-watched=testsrc://64x48@1")
        watched = iter(watch.stdout.readline, "")
        site.until(view, lambda: view.state("until-watched") == "live", "a stream to watch")
        assert any(json.loads(line)["stream"] == "until-watched" for line in watched)
        command(site, "streams", "add", "secret=/etc/hostname")
        happened = next(one for one in map(json.loads, watched) if one["stream"] == "secret" and "cause" in one)
    finally:
        watch.kill()
        watch.communicate()
    assert happened["cause"] == "refused"
    assert "fleet.roots" in happened["message"]
    site.until(view, lambda: any(one.cause == "refused" for one in view.letters), "the dead letter")


def test_jobs_are_cancelled_running_and_waiting(site: Site, view: View, ground: Ground) -> None:
    recording = ground.recording(60.0)
    jobs = site.submit({f"long-{k}": recording for k in range(3)}, "long")
    site.until(view, lambda: any(view.jobs[job.job].records for job in jobs if job.job in view.jobs), "some progress")
    command(site, "jobs", "cancel", "long")
    site.until_over(view, jobs)
    assert {view.jobs[job.job].state for job in jobs} == {"cancelled"}
    streams = {job.stream for job in jobs}
    verdict = check_archive(site.bus, site.prefix, keep=lambda stream: stream in streams)
    assert verdict.good, verdict
    assert verdict.records > 0  # what was committed is kept


def test_a_job_whose_file_comes_late_is_tried_again_and_one_that_is_no_video_is_not(
    site: Site, view: View, ground: Ground
) -> None:
    late, garbage = ground.folder / "late.mp4", ground.folder / "garbage.mp4"
    late.write_bytes(b"")
    garbage.write_bytes(b"no video" * 1000)
    jobs = site.submit({"late": late, "garbage": garbage}, "late")
    late.unlink()
    try:
        by_stream = {job.stream: job.job for job in jobs}
        site.until(view, lambda: _state(view, by_stream["late"]) in ("retrying", "failed"), "the first failure")
        ground.recording(1.0).rename(late)
        site.until_over(view, jobs)
    finally:
        late.unlink(missing_ok=True)
        garbage.unlink()
    done, failed = view.jobs[by_stream["late"]], view.jobs[by_stream["garbage"]]
    assert (done.state, done.attempt > 1) == ("done", True), done
    assert (failed.state, failed.cause, failed.attempt) == ("failed", "not_a_video", 1)


def test_a_second_worker_of_the_same_name_is_refused(site: Site) -> None:
    again = streamer("worker", "--config", site.folder / "one.yaml", "--name", "one", "--offline", cwd=site.folder)
    assert again.returncode == 2
    assert "a worker named one runs on this machine already" in again.stderr


def _state(view: View, job: str) -> str | None:
    return view.jobs[job].state if job in view.jobs else None
