"""Tables and pictures of results, and the committed document, which is what the command makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # of our own pictures

import pytest
from click.testing import CliRunner, Result

from streamer.bench.document import fill, known
from streamer.bench.document.charts import bars, lines, shares
from streamer.bench.document.markdown import each, number, percent, table
from streamer.bench.live.growth import Growth
from streamer.cli import cli
from streamer.errors import UsageError
from tests.product import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
FACTS: dict[str, Any] = {"date": "2026-01-02", "machine": {"cpu": "CPU", "cores": "2", "memory_gib": "4.0"}}
TRACKED = {"idf1": 0.9, "recall": 0.8, "precision": 1.0, "switches": 1, "swaps": 0, "fragmentations": 1234}


def result(name: str, **fields: Any) -> dict[str, Any]:
    return {"bench": name, **FACTS, **fields}


TRACKING = result(
    "tracking",
    tracker=TRACKED,
    greedy_iou=TRACKED,
    by_kind={"coming_and_going": {"tracker": TRACKED, "greedy_iou": TRACKED}},
)
SPREAD = {"p50": 1.0, "p95": 2.0, "max": 3.0, "n": 4}
CHILD = {
    "rss_mb_early": 400.0, "rss_mb_late": 420.0, "rss_mb_max": 430.0, "rss_slope_mb_per_min": 0.1, "threads_early": 9,
    "threads_late": 9, "threads_max": 10, "handles_early": 30, "handles_late": 31, "processes": 1,
}  # fmt: skip
FLAPS = result(
    "live-flaps",
    verdicts={"noticed": True, "back": True, "tracks": True, "flat": True, "control": True, "worker": False},
    faults=3,
    by_kind={
        "at_start": {"n": 1, "noticed_s": {}, "back_s": {}},
        "kill": {"n": 2, "noticed_s": SPREAD, "back_s": SPREAD},
    },
    restarts_by_hand=0,
    noticed_s=SPREAD,
    back_s=SPREAD,
    tracks_kept=2,
    tracks_lost=0,
    epochs=1,
    control={"observations": 9, "changes": 0, "largest_gap_s": 0.31, "p99_gap_s": 0.2},
    child=CHILD,
    allowed={"noticed_s": 5.0, "back_s": 10.0, "rss_share": 0.1},
    rounds=[
        {"kind": "at_start", "noticed_s": 0.0, "back_s": 2.0},
        {"kind": "kill", "noticed_s": 0.5, "back_s": 1.5},
        {"kind": "kill", "noticed_s": None, "back_s": None},
    ],
)
PAGE = result(
    "live-page",
    streams={
        "says-when": {
            "good": True, "page_loads": 5, "connections": 5, "reconnect_s": SPREAD, "largest_gap_s": 1.5,
            "largest_gap_within_a_connection_s": 1.2, "tracks": 1,
        },
        "says-nothing": {
            "good": False, "page_loads": 0, "connections": 1, "reconnect_s": {}, "largest_gap_s": 1.5,
            "largest_gap_within_a_connection_s": 1.2, "tracks": 1,
        },
    },
)  # fmt: skip
SOAK = result(
    "live-soak",
    verdicts={"accounted": True, "flat": True, "no_hand": True, "worker": True},
    minutes=3.0,
    faults=4,
    faults_by_stream={"rtsp-0": 4},
    needed_a_hand=[],
    frames={"decoded": 1500, "analysed": 1490, "dropped": 10},
    child={},
    streams={
        "rtsp-0": {
            "decoded": 1500, "analysed": 1490, "dropped": 10, "dropped_by_cause": {"queue_full": 10}, "unaccounted": 0,
            "corrupt_packets": 2,
        }
    },
)  # fmt: skip
ISOLATION = result(
    "isolation",
    allowed=1.1,
    scenarios={
        name: {
            "p50_s": 0.03,
            "p99_s": 0.06,
            "p99_to_alone": [1.0, 1.1],
            "p99_to_alone_median": 1.05,
            "dropped": {"late": 2},
        }
        for name in ("alone", "crowded", "alone_again")
    },
)
LATENCY_S = {"p50": 0.04, "p95": 0.08, "p99": 0.1, "max": 0.2, "n": 99}
LATENCY = result(
    "latency",
    streams=4,
    fps=30,
    linger_s=0.05,
    allowed_s=0.15,
    buses={
        bus: {
            "latency_s": LATENCY_S, "stages_s": {"queue": LATENCY_S, "linger": {}}, "p99_s_each": [0.1, 0.2],
            "missing_share": 0.0005, "cpu_s_per_frame": 0.007, "publish_share": 0.05, "frames_per_batch": 1.5,
        }
        for bus in ("sqlite", "kafka")
    },
)  # fmt: skip
TRIAL = {
    "held": True, "missing_share": 0.0, "dropped": {}, "latency_s": LATENCY_S, "frames_per_batch": 1.5,
    "cpu_s_per_frame": 0.007,
}  # fmt: skip
NOT_HELD = {**TRIAL, "held": False, "missing_share": 0.25, "dropped": {"queue_full": 1200}, "latency_s": {}}
STREAMS = result(
    "streams",
    clip={"name": "clip.mp4", "height_px": 360, "fps": 30},
    goal=0.8,
    median={"held": 9, "bound_streams": 10.5, "share_of_bound": 0.857, "bound_of_all_parts": 10.1},
    rounds=[
        {"held": 9, "bound_streams": 10.5, "trials": [{**TRIAL, "streams": 9}, {**NOT_HELD, "streams": 10}]},
        {"held": 0, "bound_streams": 10.4, "trials": [{**NOT_HELD, "streams": 1}]},
    ],
)
STARTUP = result(
    "startup",
    goal_s=2.0,
    models={"face-api": {"models opened": 0.5, "first record": 0.7, "total": 1.2}},
    starts={"face-api": [{"total": 1.2}, {"total": 1.3}]},
)
MADE_UP = {one["bench"]: one for one in (TRACKING, FLAPS, PAGE, SOAK, ISOLATION, LATENCY, STREAMS, STARTUP)}
MARKED = "before\n\n<!-- begin tracking -->\nold\n<!-- end tracking -->\n\nafter\n"


def commanded(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", "document", *arguments], standalone_mode=False)


def test_the_committed_document_is_what_the_command_makes() -> None:
    done = commanded(str(DOCUMENT), "--check")
    assert done.exception is None, done.exception
    assert done.return_value == 0, f"run `streamer bench document {DOCUMENT.relative_to(ROOT)}`:\n{done.output}"


def test_prose_is_left_alone_and_what_is_between_the_marks_is_not() -> None:
    made = fill.made(MARKED, MADE_UP, "results")
    assert made.text.startswith("before\n\n<!-- begin tracking -->\n| | IDF1 |")
    assert made.text.endswith("<!-- end tracking -->\n\nafter\n")
    assert "old" not in made.text
    assert "| ours, coming and going | 0.900 | 0.800 | 1.000 | 1 | 0 | 1,234 |" in made.text
    links = "[tracking.json](results/tracking.json) ([picture](results/tracking.svg))"
    assert f"From {links}: 2026-01-02, CPU, 2 cores, 4.0 GiB." in made.text
    assert fill.made(made.text, MADE_UP, "results").text == made.text
    assert set(made.left_out) == set(MADE_UP) - {"tracking"}


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert fill.NOTHING in fill.made(MARKED, {}, "results").text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<!-- begin trakcing -->\n<!-- end trakcing -->", "no table 'trakcing'"),
        ("<!-- begin tracking -->\n", "has no end"),
    ],
)
def test_wrong_marks_are_told_of(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fill.made(text, MADE_UP, "results")


def test_a_result_of_another_shape_is_told_of() -> None:
    with pytest.raises(UsageError, match=r"tracking\.json is not as this version writes it"):
        fill.made(MARKED, {"tracking": result("tracking", tracker=TRACKED)}, "results")


@pytest.mark.parametrize("name", MADE_UP)
def test_every_table_and_picture_of_a_result_is_made(name: str) -> None:
    text = known.tables(MADE_UP[name])
    for part in text.split("\n\n"):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in part.splitlines()}
        assert len(widths) == 1, f"a table whose rows differ:\n{part}"
    [picture] = fill.pictures({name: MADE_UP[name]}).values()
    assert ET.fromstring(picture).tag.endswith("svg")


def test_verdicts_that_are_bad_show() -> None:
    text = known.tables(FLAPS)
    assert "| worker | ended as asked | **no** |" in text
    assert "| kill | 2 | 1.00, p95 2.00, longest 3.00 |" in text
    assert "too short to say" in known.tables(SOAK)
    assert Growth().figures() == SOAK["child"]


def test_live_load_in_tables() -> None:
    assert "| 360p30 | 9 (9, 0) | 10.5 (10.5, 10.4) | 0.86 | 0.80 | 10.1 | 40 / 100 | 1.50 | 7.00 |" in known.tables(
        STREAMS
    )
    assert "| 10 | no | 25.00 % | queue full 1,200 | | | 1.50 | 7.00 |" in known.tables(STREAMS)
    assert "| sqlite, 4 streams at 30 frames/s | 40.0 | 80.0 | 100.0 (100, 200) | 0.05 % |" in known.tables(LATENCY)
    assert "| linger (linger is 50 ms) | / / | / / |" in known.tables(LATENCY)
    assert "| face-api | 0.50 | 0.70 | 1.20 (1.20, 1.30) |" in known.tables(STARTUP)


def test_a_folder_is_read_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "tracking.json").write_text(json.dumps(TRACKING))
    assert fill.results_in(tmp_path) == {"tracking": TRACKING}
    (tmp_path / "other.json").write_text(json.dumps(TRACKING))
    with pytest.raises(UsageError, match=r"call the file tracking\.json"):
        fill.results_in(tmp_path)
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(UsageError, match="no result of a benchmark"):
        fill.results_in(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        fill.results_in(tmp_path / "none")


def test_the_command_writes_what_is_stale_and_nothing_else(tmp_path: Path) -> None:
    page, folder = tmp_path / "notes.md", tmp_path / "notes"
    folder.mkdir()
    page.write_text(MARKED)
    (folder / "tracking.json").write_text(json.dumps(TRACKING))
    stale = commanded(str(page), "--check", "--json")
    assert stale.return_value == 1
    assert page.read_text() == MARKED
    assert json.loads(stale.output)["changed"] == [str(page), str(folder / "tracking.svg")]
    assert commanded(str(page)).return_value == 0
    again = commanded(str(page), "--check", "--json")
    assert (again.return_value, json.loads(again.output)["changed"]) == (0, [])


def test_cells_and_numbers() -> None:
    assert table(("a", "b"), [("x|y", ""), ("", "")]).splitlines()[2:] == ["| x\\|y | |", "| | |"]
    assert (number(1234.5), number(-0.001, 2), number(None), number(-1.25, 1)) == ("1,234", "0.00", "", "-1.2")
    assert (percent(0.125), each([1.0]), each([1.0, 2.5], 1)) == ("12.5 %", "", " (1.0, 2.5)")


def test_bars_are_as_long_as_their_values() -> None:
    picture = ET.fromstring(bars("b", [("one & two", [1.0]), ("three", [2.0]), ("less", [-1.0])], limit=(2.0, "goal")))
    widths = [
        float(one.attrib["width"]) for one in picture.iter("{http://www.w3.org/2000/svg}rect") if "y" in one.attrib
    ]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[2] == pytest.approx(widths[0], abs=0.2)


def test_pictures_of_nothing_are_pictures() -> None:
    assert ET.fromstring(bars("b", [])) is not None
    assert ET.fromstring(lines("l", {"none": []}, x_label="x", y_label="y")) is not None
    assert ET.fromstring(lines("l", {"zero": [(0.0, 0.0)]}, x_label="x", y_label="y")) is not None


def test_shares_rise_to_one() -> None:
    assert shares([3.0, 1.0]) == [(1.0, 0.5), (3.0, 1.0)]
