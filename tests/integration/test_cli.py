"""The commands as a user meets them: one run of a short clip, then everything that can be asked about it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from engines.zoo.sample import fetch_sample
from streamer.errors import BusError
from streamer.messages import Status, decode
from tests.product import heeding_interrupts, interrupt, raw, start, streamer, until

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
N_FRAMES = 120
ENDS_WITHIN_S = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models: None) -> Path:
    """A folder where the sample was analysed under a name of its own: `affect.db` and `report.html` lie in it."""
    folder = tmp_path_factory.mktemp("cli")
    done = streamer("run", f"phone={fetch_sample()}", "--report", "report.html", "--run", "first", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "where nothing is wrong and nobody watches, standard error stays empty"
    assert done.stdout.splitlines()[-2:] == ["records   sqlite:///affect.db", "report    report.html"]
    assert (folder / "report.html").is_file()
    return folder


def said(place: Path, *arguments: str) -> list[Any]:
    """The JSON lines of a command that does well."""
    done = streamer(*arguments, cwd=place)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def with_cache(cache: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamer", *arguments],
        cwd=cwd,
        env={**os.environ, "AFFECT_STREAMER_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_tail_shows_records_under_their_own_names(place: Path) -> None:
    seen = said(place, "tail", "observations")
    assert len(seen) >= N_FRAMES - 2
    assert {(one["stream"], one["run"]) for one in seen} == {("phone", "first")}
    assert {"v", "id", "track", "media_time_s", "label", "probs", "valence", "arousal", "box_xywh", "bare"} < set(
        seen[0]
    )
    assert [one["seq"] for one in seen] == list(range(len(seen)))
    assert seen == said(place, "tail", "affect.archive.observations")
    assert seen == said(place, "tail", "archive.observations", "--stream", "phone")
    assert said(place, "tail", "observations", "--stream", "phone2") == []
    assert said(place, "tail", "observations", "--from", "latest") == []
    assert said(place, "tail", "affect.observations") == []


def test_tail_tells_the_place_of_a_record_when_asked(place: Path) -> None:
    first = said(place, "tail", "tracks", "--meta")[0]
    assert first["event"] == "appeared"
    assert (first["_meta"]["topic"], first["_meta"]["key"]) == ("affect.archive.tracks", "phone")
    assert "_meta" not in said(place, "tail", "tracks")[0]


def test_tail_shows_runs_and_status(place: Path) -> None:
    written = said(place, "tail", "runs", "--stream", "phone")
    assert {one["run"] for one in written} == {"first"}
    assert [one["state"] for one in (written[0], written[-1])] == ["running", "done"]
    assert said(place, "tail", "runs", "--stream", "phone2") == []
    assert said(place, "tail", "status")[-1]["state"] == "ended"


def test_tail_follows_until_interrupted(place: Path) -> None:
    process = start("tail", "observations", "--follow", cwd=place)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["stream"] == "phone"
    for _ in range(50):
        process.stdout.readline()
    interrupt(process)
    _, err = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode == 130
    assert err.strip() == ""


def test_exports_hold_what_tail_shows(place: Path, tmp_path: Path) -> None:
    seen = said(place, "tail", "observations")
    told = {}
    for format_ in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"faces.{format_}"
        [told[format_]] = said(place, "export", "--format", format_, "--out", str(out), "--json")
        assert told[format_] == {
            "export": str(out), "kind": "observations", "format": format_, "rows": len(seen), "skipped": {},
            "files": [str(out)],
        }  # fmt: skip
    with (tmp_path / "faces.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text().splitlines()]
    table = pyarrow.parquet.read_table(tmp_path / "faces.parquet")
    ids = [one["id"] for one in seen]
    assert [row["id"] for row in rows] == [line["id"] for line in lines] == table.column("id").to_pylist() == ids
    valence = [one["valence"] for one in seen]
    assert [float(row["valence"]) for row in rows] == table.column("valence").to_pylist() == valence


def test_exports_go_to_standard_output_and_of_one_run_or_stream(place: Path) -> None:
    whole = streamer("export", "--format", "csv", "--out", "-", cwd=place)
    assert whole.returncode == 0
    rows = list(csv.DictReader(io.StringIO(whole.stdout)))
    assert f"{len(rows)} rows" in whole.stderr
    lines = said(place, "export", "--format", "jsonl", "--out", "-", "--run", "first", "--stream", "phone")
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    for wrong in (("jsonl", "--run", "second"), ("parquet",)):
        refused = streamer("export", "--out", "-", "--format", *wrong, cwd=place)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


def test_reports_of_all_runs_and_of_named_ones(place: Path, tmp_path: Path) -> None:
    pages = []
    for number, runs in enumerate(([], ["first"], ["first", "first"])):
        page = tmp_path / f"{number}.html"
        [told] = said(place, "report", *runs, "--out", str(page), "--json")
        assert told["runs"] == ["first"]
        assert told["observations"] >= N_FRAMES - 2
        pages.append(page.read_bytes())
    assert b"phone" in pages[0]
    assert pages[0] == pages[1] == pages[2]
    unknown = streamer("report", "second", "--out", tmp_path / "no.html", cwd=place)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "run second is not on this bus" in unknown.stderr
    assert not (tmp_path / "no.html").exists()
    partly = streamer("report", "first", "second", "--out", tmp_path / "one.html", cwd=place)
    assert partly.returncode == 0
    assert "run second" in partly.stderr


def test_a_report_of_a_bus_without_runs_says_so(tmp_path: Path) -> None:
    assert streamer("topics", "create", cwd=tmp_path).returncode == 0
    done = streamer("report", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "streamer run" in done.stderr


def test_a_finished_file_is_done_and_is_not_done_again(place: Path) -> None:
    before = said(place, "tail", "observations")
    done = streamer("run", f"phone={fetch_sample()}", "--run", "first", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    [source] = json.loads(done.stdout)["sources"]
    assert (source["state"], source["analysed"]) == ("done", N_FRAMES)
    assert said(place, "tail", "observations") == before


def test_json_of_a_run_holds_what_a_program_needs(tmp_path: Path) -> None:
    done = streamer("run", fetch_sample(), "gone.mp4", "--json", "--report", "page.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    assert (told["bus"], told["report"], told["interrupted"]) == ("sqlite:///affect.db", "page.html", False)
    good, bad = sorted(told["sources"], key=lambda one: str(one["state"]))
    assert (good["state"], good["analysed"], bad["state"], bad["cause"]) == ("done", N_FRAMES, "failed", "missing")
    [run] = told["runs"]
    assert {one["run"] for one in said(tmp_path, "tail", "runs")} == {run}


def test_failures_are_told_on_standard_error_quiet_or_not(tmp_path: Path) -> None:
    for options in (["--quiet"], []):
        done = streamer("run", "gone.mp4", "--report", "page.html", *options, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == "streamer: failed: gone.mp4 does not exist: check the path.\n"
        assert "report" not in done.stdout, "no page was written"
        assert bool(done.stdout) != bool(options)
    assert not (tmp_path / "page.html").exists()


def test_models_are_listed_verified_and_pulled(tmp_path: Path) -> None:
    [listed] = said(tmp_path, "models", "list", "--json")
    by_name = {one["name"]: one for one in listed}
    assert {"centerface", "face-api"} <= set(by_name)
    assert by_name["face-api"]["provenance"]["licence"] == "MIT"
    assert Path(by_name["face-api"]["path"]).is_file()
    text = streamer("models", "list", cwd=tmp_path).stdout
    assert all(name in text for name in by_name)
    [verified] = said(tmp_path, "models", "verify", "centerface", "face-api", "--json")
    assert [(one["name"], one["state"]) for one in verified] == [("centerface", "good"), ("face-api", "good")]
    [pulled] = said(tmp_path, "models", "pull", "centerface", "--json")
    assert [one["path"] for one in pulled] == [by_name["centerface"]["path"]]


def put_damaged(cache: Path, name: str, cwd: Path) -> None:
    """A model as it is kept here, with another last byte, in another cache."""
    [listed] = said(cwd, "models", "list", "--json")
    kept = Path(next(one["path"] for one in listed if one["name"] == name))
    damaged = cache / "models" / kept.parent.name / kept.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(kept.read_bytes()[:-1] + b"?")


def test_a_damaged_model_is_refused_everywhere(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    put_damaged(cache, "face-api", tmp_path)
    verified = with_cache(cache, "models", "verify", "face-api", "--json", cwd=tmp_path)
    assert (verified.returncode, json.loads(verified.stdout)[0]["state"]) == (1, "wrong")
    looked = with_cache(cache, "doctor", "--json", cwd=tmp_path)
    findings = {one["name"]: one for one in json.loads(looked.stdout)}
    assert looked.returncode == 1
    assert findings["model face-api"]["verdict"] == "broken"
    assert "sha256" in findings["model face-api"]["detail"]
    assert findings["model centerface"]["verdict"] == "missing"
    put_damaged(cache, "centerface", tmp_path)
    ran = with_cache(cache, "run", "testsrc://64x64?duration=1", "--offline", cwd=tmp_path)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "sha256" in ran.stderr


def test_an_interrupted_pull_is_130_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", "models", "pull", "centerface"],
        cwd=tmp_path,
        env={**os.environ, "AFFECT_STREAMER_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=heeding_interrupts,
    )
    assert process.stderr is not None
    assert "asking" in process.stderr.readline()
    interrupt(process)
    out, err = process.communicate(timeout=ENDS_WITHIN_S)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert list((tmp_path / "cache").rglob("*.onnx")) == []


def test_doctor_is_content_here_and_names_what_is_missing_elsewhere(tmp_path: Path) -> None:
    here = streamer("doctor", "--json", cwd=tmp_path)
    assert here.returncode == 0, here.stdout
    findings = {one["name"]: one for one in json.loads(here.stdout)}
    assert findings["model face-api"]["verdict"] == findings["embedded bus"]["verdict"] == "ok"
    assert streamer("doctor", cwd=tmp_path).stdout.count("\n") == len(findings)
    bare = with_cache(tmp_path / "cache", "doctor", cwd=tmp_path)
    assert bare.returncode == 1
    missing = [line for line in bare.stdout.splitlines() if line.startswith("missing")]
    assert [line.split()[2] for line in missing] == ["centerface", "face-api"]
    assert "streamer models pull centerface" in missing[0]
    assert not (tmp_path / "cache").exists(), "looking makes nothing"


def test_doctor_looks_at_a_bus_that_was_named(place: Path, tmp_path: Path) -> None:
    def bus(*arguments: str) -> tuple[int, str, str]:
        done = streamer("doctor", "--json", *arguments, cwd=tmp_path)
        found = next(one for one in json.loads(done.stdout) if one["name"] == "bus")
        return done.returncode, found["verdict"], found["detail"]

    assert bus("--bus", f"sqlite:///{place}/affect.db")[:2] == (0, "ok")
    assert bus("--bus", "sqlite:///new.db") == (0, "ok", "sqlite:///new.db (made at the first run)")
    assert bus("--bus", "sqlite:///no/such/folder/new.db")[:2] == (1, "broken")
    code, verdict, detail = bus("--bus", "kafka://me:hunter2@127.0.0.1:9?wait_s=1")
    assert (code, verdict) == (1, "broken")
    assert "127.0.0.1:9" in detail
    assert "hunter2" not in detail
    assert list(tmp_path.iterdir()) == []


def test_doctor_names_a_model_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("models: {expression: no-such-net}\n")
    done = streamer("doctor", "--config", "c.yaml", "--json", cwd=tmp_path)
    found = next(one for one in json.loads(done.stdout) if one["name"] == "model no-such-net")
    assert (done.returncode, found["verdict"]) == (1, "broken")
    assert "face-api" in found["detail"]


def test_check_prints_the_settings_with_secrets_masked(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").touch()
    (tmp_path / "good.yaml").write_text(
        "bus: kafka://me:hunter2@host:9092\n"
        "sources: [talk.mp4, 'door=https://me:hunter2@host/a.mp4?token=hunter2']\n"
        "state: {window: 32}\n"
    )
    done = streamer("check", "good.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hunter2" not in done.stdout
    assert "window: 32" in done.stdout
    assert "max_frames: 8" in done.stdout
    [told] = said(tmp_path, "check", "good.yaml", "--json")
    assert told["bus"] == "kafka://***@host:9092"
    assert told["sources"] == ["talk.mp4", "door=https://***@host/a.mp4?token=***"]
    [schema] = [json.loads(streamer("check", "--schema", cwd=tmp_path).stdout)]
    assert set(told) == set(schema["$defs"]["Config"]["properties"])


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("windows: 3", 2, "windows"),
        ("models: {expression: centerface}", 2, "face-api"),
        ("models: {detector: no-such-net}", 2, "centerface"),
        ("models: {head: absent/head.json}", 1, "absent/head.json"),
        ("models: {expression: ./absent}", 1, "no folder absent"),
        ("models: {expression: paper-4}", 1, "engines train"),
        ("models: {expression: fer, head: temporal}", 2, "made for the probabilities of face-api"),
        ("sources: [gone.mp4]", 1, "gone.mp4"),
        ("sources: ['udp://host/stream']", 1, "udp"),
        ("bus: 'ftp://host'", 2, "kafka://"),
        ("bus: 'kafka://host:9092?nonsense=1'", 2, "nonsense"),
        ("state: {window: 0}", 2, "state.window"),
    ],
)
def test_check_names_what_is_wrong(text: str, code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text + "\n")
    done = streamer("check", "bad.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_licences_of_models_and_packages(tmp_path: Path) -> None:
    [rows] = said(tmp_path, "licences", "--json")
    by_name = {row["name"]: row for row in rows}
    assert by_name["face-api"] == {"kind": "model", "name": "face-api", "licence": "MIT"}
    assert by_name["numpy"]["kind"] == "package"
    assert all(row["licence"] for row in rows)
    assert len(streamer("licences", cwd=tmp_path).stdout.splitlines()) == len(rows)


def test_topics_are_made_and_made_again_without_harm(tmp_path: Path) -> None:
    [made] = said(tmp_path, "topics", "create", "--json")
    assert "affect.observations" in {topic["name"] for topic in made}
    again = streamer("topics", "create", cwd=tmp_path)
    assert again.stdout.count("\n") == len(made)
    (tmp_path / "other.yaml").write_text("topics: {partitions: 3}\n")
    other = streamer("topics", "create", "--config", "other.yaml", cwd=tmp_path)
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    assert "64" in other.stderr


def test_an_interrupted_run_says_what_is_kept(tmp_path: Path) -> None:
    process = start("run", "test=testsrc://64x64@25?duration=60", cwd=tmp_path)

    def lives() -> bool:
        try:
            beats = [decode(one.value, Status) for one in raw(tmp_path / "affect.db", "status") if one.value]
            return any(beat.analysed > 0 for beat in beats)
        except BusError:
            return False

    try:
        until(lives, "the stream is live")
        interrupt(process)
        out, err = process.communicate(timeout=ENDS_WITHIN_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "real time" in out
    assert err.count("\n") == 1
    assert err.startswith("streamer: interrupted: test: stopped after ")


def test_bench_tracking(tmp_path: Path) -> None:
    done = streamer("bench", "tracking", "--scenes", "4", "--json", "--out", "figures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["n_scenes"] == 4
    assert told["tracker"]["idf1"] >= told["greedy_iou"]["idf1"] > 0
    assert json.loads((tmp_path / "figures" / "tracking.json").read_text()) == told


def test_bench_throughput(tmp_path: Path) -> None:
    tiny = ["--files", "2", "--seconds", "4", "--part-seconds", "0.3", "--repeats", "1"]
    done = streamer("bench", "throughput", *tiny, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["bench"] == "throughput-refine", "it refines as it comes"
    assert told["clip"]["files"] == 2
    for key in ("many", "one"):
        assert told["median"][key]["efficiency"] > 0
