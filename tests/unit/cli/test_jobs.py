from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.read import drain
from streamer.bus.topics import topics
from streamer.config import TopicSettings
from streamer.fleet.retry import begun, cancelled, over
from streamer.messages import Job, JobStatus, decode
from streamer.wishes import records
from streamer.wishes.batches import batches
from tests.unit.cli.verbs import streamer, told, write

SETTINGS = TopicSettings()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4", "c.mkv"):
        (tmp_path / name).touch()
    url = f"sqlite:///{tmp_path}/fleet.db"
    monkeypatch.setenv("STREAMER_BUS", url)
    return url


def submitted(url: str) -> dict[str, tuple[Job, int]]:
    """The jobs on the bus and their partitions, by stream."""
    bus = open_bus(url, create=False)
    found = [(decode(record.value or b"", Job), record) for record in drain(bus, [topics(SETTINGS).jobs.name])]
    bus.close()
    assert all(record.key.decode() == job.job for job, record in found)
    assert len({job.job for job, _ in found}) == len(found), "no job is there twice"
    return {job.stream: (job, record.partition) for job, record in found}


def tell(url: str, stream: str, **fields: Any) -> JobStatus:
    """A worker writes how far the job of `stream` is."""
    job, partition = submitted(url)[stream]
    status = msgspec.structs.replace(begun(job, None, "w1", time.time() - 10.0), **fields)
    write(url, records.job_status(status, partition, SETTINGS))
    return status


def test_a_submission_is_one_job_a_file_and_its_status(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told(capsys, "jobs", "submit", "*.mp4", "x=c.mkv", "--batch", "day", "--run", "r", "--model", "face-api")
    assert (answer["batch"], answer["submitted"], answer["known"], len(answer["jobs"])) == ("day", 3, 0, 3)
    jobs = submitted(url)
    assert {stream: (job.source, job.run) for stream, (job, _) in jobs.items()} == {
        "a": (f"{tmp_path}/a.mp4", "r.a"),
        "b": (f"{tmp_path}/b.mp4", "r.b"),
        "x": (f"{tmp_path}/c.mkv", "r.x"),
    }
    assert {(job.batch, job.model, job.attempt) for job, _ in jobs.values()} == {("day", "face-api", 1)}
    assert len({partition for _, partition in jobs.values()}) == 3
    [batch] = told(capsys, "jobs", "status")
    assert batch["counts"] == {"waiting": 3}
    assert not batch["over"]


def test_the_same_files_under_the_same_batch_are_the_same_jobs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "jobs", "submit", "a.mp4", "--batch", "day")
    assert told(capsys, "jobs", "submit", "a.mp4", "b.mp4", "--batch", "day")["known"] == 1
    assert streamer(capsys, "jobs", "submit", "a.mp4", "b.mp4", "--batch", "day")[1] == (
        "day: 0 jobs submitted, 2 known already\n"
    )
    assert set(submitted(url)) == {"a", "b"}
    first, second = (told(capsys, "jobs", "submit", "a.mp4") for _ in range(2))
    assert first["batch"] != second["batch"]
    assert first["submitted"] == second["submitted"] == 1


@pytest.mark.parametrize("ending", ["m3u", "m3u8", "txt"])
def test_a_list_names_files_beside_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "in list.mp4").touch()
    lines = ["\ufeff#EXTM3U", "#EXTINF:5,One", "in list.mp4", "", "../a.mp4", str(tmp_path / "b.mp4"), "n=../c.mkv"]
    lines.append("http://host/far.mp4")
    (folder / f"all.{ending}").write_text("\r\n".join(lines), encoding="utf-8")
    told(capsys, "jobs", "submit", f"lists/all.{ending}")
    assert {stream: job.source for stream, (job, _) in submitted(url).items()} == {
        "in_list": str(folder / "in list.mp4"),
        "a": str(tmp_path / "a.mp4"),
        "b": str(tmp_path / "b.mp4"),
        "n": str(tmp_path / "c.mkv"),
        "far": "http://host/far.mp4",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "told_of"),
    [
        (("submit",), 2, "PATH"),
        (("submit", "a.mp4", "none.mp4"), 1, "none.mp4"),
        (("submit", "empty.txt"), 1, "names no file"),
        (("submit", "pieces.m3u8"), 1, "pieces"),
        (("submit", "0"), 2, "camera"),
        (("submit", "testsrc://64x64"), 2, "duration"),
        (("submit", b"bad\xff.mp4".decode("utf-8", "surrogateescape")), 2, "UTF-8"),
        (("submit", "a.mp4", "--batch", "a/b"), 2, "--batch"),
        (("submit", "a.mp4", "--run", ""), 2, "--run"),
    ],
)
def test_what_cannot_be_submitted_leaves_no_part_of_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, told_of: str
) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "pieces.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n")
    (tmp_path / b"bad\xff.mp4".decode("utf-8", "surrogateescape")).touch()
    left, out, err = streamer(capsys, "jobs", *arguments)
    assert (left, out) == (code, "")
    assert told_of in err
    assert not (tmp_path / "fleet.db").exists()


def test_status_counts_progress_speed_and_the_end(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "jobs", "submit", "a.mp4", "b.mp4", "c.mkv", "--batch", "day")
    done = tell(url, "a", media_time_s=60.0, duration_s=60.0, records=9)
    write(url, records.job_status(over(done, "done", time.time()), submitted(url)["a"][1], SETTINGS))
    tell(url, "b", media_time_s=30.0, duration_s=60.0, records=5)
    [batch] = told(capsys, "jobs", "status", "day")
    assert batch["counts"] == {"done": 1, "running": 1, "waiting": 1}
    assert (batch["media_s"], batch["total_s"], batch["fraction"]) == (90.0, 180.0, 0.5)
    assert 4.0 < batch["speed"] <= 9.0, "90 s of video in a little more than 10 s"
    assert batch["left_s"] == pytest.approx(90.0 / batch["speed"])
    out = streamer(capsys, "jobs", "status")[1].splitlines()
    assert out[0] == "day: 3 jobs: 1 done, 1 running, 1 waiting"
    assert out[1].startswith("  50% of 3:00 of video, ")
    assert out[2:] == ["  b: running on w1, 0:30 of 1:00, 5 records"]


def test_a_failure_is_told_with_its_cause(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "jobs", "submit", "a.mp4", "--batch", "day")
    tell(url, "a", state="failed", attempt=3, cause="unreachable", message="host did\nnot answer.\x1b[2J")
    out = streamer(capsys, "jobs", "status", "day")[1]
    assert "  a: failed, attempt 3, unreachable: host did not answer.\\x1b[2J" in out
    [batch] = told(capsys, "jobs", "status")
    assert batch["over"]


def test_cancelling_asks_for_what_is_not_over_and_is_seen(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "jobs", "submit", "a.mp4", "b.mp4", "c.mkv", "--batch", "day")
    tell(url, "a", state="done")
    tell(url, "b")
    assert streamer(capsys, "jobs", "cancel", "day")[1] == "2 jobs to be cancelled, 1 over already\n"
    [batch] = told(capsys, "jobs", "status")
    assert batch["counts"] == {"cancelling": 2, "done": 1}
    wishes = [record for record in everything(url) if record[1].endswith(b"/cancel")]
    partitions = {job.job: partition for job, partition in submitted(url).values()}
    assert {key.decode().removesuffix("/cancel"): partition for partition, key in wishes} == {
        job.job: partitions[job.job] for stream, (job, _) in submitted(url).items() if stream != "a"
    }
    assert streamer(capsys, "jobs", "cancel", "nothing")[0] == 2
    assert streamer(capsys, "jobs", "status", "nothing")[0] == 2


def everything(url: str) -> list[tuple[int, bytes]]:
    bus = open_bus(url, create=False)
    found = [(record.partition, record.key) for record in drain(bus, [topics(SETTINGS).jobs_status.name])]
    bus.close()
    return found


def test_watching_goes_on_until_all_is_over(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, "jobs", "submit", "a.mp4", "--batch", "day")
    job, partition = submitted(url)["a"]

    looked = threading.Semaphore(0)

    def counted(*shown: Any) -> Any:
        looked.release()
        return batches(*shown)

    def work() -> None:
        assert looked.acquire(timeout=60)
        status = begun(job, None, "w1", time.time())
        write(url, records.job_status(status, partition, SETTINGS))
        assert looked.acquire(timeout=60)
        write(url, records.job_status(cancelled(status, time.time()).status, partition, SETTINGS))

    monkeypatch.setattr("streamer.cli.jobs.batches", counted)
    thread = threading.Thread(target=work)
    thread.start()
    code, out, err = streamer(capsys, "jobs", "status", "--watch", "--json")
    thread.join()
    assert code == 0, err
    states = [json.loads(line)[0]["counts"] for line in out.splitlines()]
    assert states == [{"waiting": 1}, {"running": 1}, {"cancelled": 1}]


def test_a_bus_without_jobs_says_so(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert streamer(capsys, "jobs", "status")[0] == 1
    streamer(capsys, "topics", "create")
    assert streamer(capsys, "jobs", "status")[1] == "no jobs on this bus\n"
    assert streamer(capsys, "jobs", "status", "--watch")[0] == 0
