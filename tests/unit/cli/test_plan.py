"""`streamer plan` with costs from a file: figures, JSON, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.cli import main
from tests.unit.plan.examples import EXAMPLE

ASKED = ("--streams", "1000", "--fps", "10", "--costs", str(EXAMPLE), "--simulate", "3")


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["plan", *arguments])
    assert isinstance(left.value.code, int)
    said = capsys.readouterr()
    return left.value.code, said.out, said.err


def answered(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, err = run(*ASKED, *arguments, "--json", capsys=capsys)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert isinstance(result, dict)
    return result


def test_the_table_answers_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(*ASKED, "--interval", "0", capsys=capsys)
    assert (code, err) == (0, "")
    for word in (
        "1000 of 640x360",
        "a core",
        "a worker",
        "workers",
        "observations",
        "settings",
        "every frame searched",
    ):
        assert word in out


def test_the_figures_agree_with_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    result = answered("--interval", "0", capsys=capsys)
    stream, worker, bus = result["stream"], result["worker"], result["bus"]
    assert stream["cores"] == pytest.approx(sum(stream["cores_by_stage"].values()))
    # Decoding, searching and the rest of the example come to some 75 ms a second for each stream.
    assert 0.065 < stream["cores"] < 0.085
    assert worker["streams_planned"] <= 0.7 * 2 / stream["cores"] + 1
    assert worker["streams_fullest"] <= worker["streams_planned"] <= worker["streams_held"]
    assert result["workers"] * worker["streams_planned"] >= 1000
    assert result["simulated"]["lost_share"] < 0.001
    assert result["simulated"]["utilisation"] <= 0.72
    assert result["simulated"]["analysed_fps"] == pytest.approx(10_000, rel=0.02)
    assert bus["topics"]["observations"]["records_per_s"] == 10_000
    assert bus["records_per_s"] == pytest.approx(sum(one["records_per_s"] for one in bus["topics"].values()))
    assert bus["topics"]["observations"]["bytes_per_s_mean_partition"] == pytest.approx(
        10_000 * 850 / bus["partitions"]
    )
    assert bus["partitions"] >= result["workers"]
    assert result["settings"] == {
        "fleet.max_streams": worker["streams_planned"],
        "topics.partitions": bus["partitions"],
    }


def test_less_work_and_more_room_take_fewer_workers(capsys: pytest.CaptureFixture[str]) -> None:
    workers = [
        answered(*options, capsys=capsys)["workers"]
        for options in (
            ("--interval", "0"),
            ("--interval", "0.2"),
            ("--interval", "0.2", "--head-room", "0.9"),
            ("--interval", "0.2", "--head-room", "0.9", "--sample-fps", "2"),
        )
    ]
    assert workers == sorted(workers, reverse=True)
    assert len(set(workers)) == 4


def test_the_same_seed_gives_the_same_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert answered("--seed", "3", capsys=capsys) == answered("--seed", "3", capsys=capsys)


def test_what_was_measured_otherwise_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    result = answered("--size", "1280x720", "--cores", "4", capsys=capsys)
    assert any("640x360" in note for note in result["notes"])
    assert any("2 cores" in note for note in result["notes"])
    assert answered(capsys=capsys)["notes"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--streams", "0"], "--streams"),
        (["--streams", "many"], "many"),
        (["--fps", "0"], "--fps"),
        (["--size", "640"], "640x360"),
        (["--size", "0x360"], "640x360"),
        (["--faces", "-1"], "--faces"),
        (["--head-room", "0"], "--head-room"),
        (["--head-room", "1.5"], "--head-room"),
        (["--interval", "-1"], "--interval"),
        (["--costs", "absent.json"], "absent.json"),
        (["--save", "costs.json"], "--save"),
        (["--partitions", "16"], "--partitions"),
        (["--fps", "5000"], "--sample-fps"),
        (["--clip", "absent.mp4"], "absent.mp4"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*ASKED, "--interval", "0", *arguments, capsys=capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("streamer: ")
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_an_interval_needs_the_costs_of_refining(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    costs = json.loads(EXAMPLE.read_text())
    costs["refine"] = None
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(costs))
    code, _, err = run(*ASKED, "--costs", str(path), "--interval", "0.2", capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "--interval 0" in err


def test_costs_are_not_measured_for_a_size_that_no_video_has(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = run("--streams", "1", "--fps", "1", "--size", "641x360", capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "even" in err
    code, _, err = run("--streams", "1", "--fps", "1", "--save", str(tmp_path / "no" / "costs.json"), capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "--save" in err
