from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from streamer.messages import SourceResult
from streamer.report import build
from streamer.report.page import _json
from tests.synthetic_run import SyntheticRun, make_run

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"


class Reader(HTMLParser):
    """Elements with their attributes, scripts with their text, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif not self._inside:
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def page_of(run: SyntheticRun, **changes: Any) -> str:
    return build([run.run], run.observations, run.tracks, run.windows, **changes)


def test_the_page_tells_what_was_seen_and_how_it_went() -> None:
    words = Reader(page_of(make_run())).words
    for said in (
        "Three face tracks in two sources.",
        "1,260 observations from 40.0 s of video; read in 3.2 s, 12.5× real time; 2 dropped.",
        "centerface@1.5.0#9f8e7d6c",
        "licence: MIT",
        "bf16",
        "temperature 2.4, fitted on 269 labelled photographs",
        "two cores with AMX",
        "detect.interval_s",
        "2 decode error",
        "Expressions, not feelings.",
        "macro-F1 0.55",
        "Derived valence and arousal.",
        "Not for decisions about people.",
    ):
        assert said in words, said
    assert "Predicted valence" not in words
    assert "points a line" not in words, "nothing was decimated"


def test_every_figure_has_its_place_and_its_data() -> None:
    reader = Reader(page_of(make_run()))
    places = [a["data-figure"] for _, a in reader.elements if "data-figure" in a]
    data = {a["id"]: json.loads(text) for a, text in reader.scripts if a.get("type") == "application/json"}
    assert [f"figure-{place}" for place in places] == list(data)
    assert len(data) == 2 + 2 * 3
    kinds = [a["data-kind"] for _, a in reader.elements if "data-kind" in a]
    assert kinds.count("timeline") == kinds.count("circumplex") == 3
    assert kinds.count("presence") == 2
    assert all(a["aria-label"] for _, a in reader.elements if "data-figure" in a)


def test_nothing_is_asked_of_a_network() -> None:
    reader = Reader(page_of(make_run()))
    for tag, attributes in reader.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"), tag
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(a["content"] for _, a in reader.elements if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    running = [text for attributes, text in reader.scripts if "type" not in attributes]
    for text in running:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert len(running) == 2


@pytest.mark.parametrize(
    "name", [HOSTILE, "</script><script>alert(1)</script>", "--><!-- <script>", "\u2028\u202e名前"]
)
def test_names_from_outside_stay_text(name: str) -> None:
    run = make_run(streams=(name, "other"), run="<script>alert('run')</script>")
    changed = msgspec.structs.replace(
        run.run,
        settings={name: name},
        machine={name: name},
        licences={name: name},
        models={"expression": name},
        software={name: name},
        calibration=name,
    )
    page = build([changed], run.observations, run.tracks, run.windows)
    reader, plain = Reader(page), Reader(page_of(make_run()))
    assert len([a for a, _ in reader.scripts if "type" not in a]) == 2
    assert {tag for tag, _ in reader.elements} == {tag for tag, _ in plain.elements}
    assert not [a for _, a in reader.elements if any(key.startswith("on") for key in a)]
    assert name in reader.text
    assert "{{7*7}}" in page if "{{" in name else True


def test_a_run_without_faces_says_so() -> None:
    run = make_run()
    sources = tuple(msgspec.structs.replace(s, faces=0, tracks=0, records=0) for s in run.run.sources)
    page = build([msgspec.structs.replace(run.run, sources=sources)], [])
    words = Reader(page).words
    assert "No faces were found in two sources." in words
    assert words.count("No faces were found in this source: 500 frames were searched.") == 2
    assert "Expressions, not feelings." in words
    assert "plotly" not in page, "no figures, no plotting script"


def test_a_failed_source_tells_why_and_the_others_stand() -> None:
    run = make_run()
    broken = SourceResult(
        stream="broken.mp4",
        source="broken.mp4",
        state="failed",
        mode="archive",
        cause="not_a_video",
        message="broken.mp4 is not a video: check the file",
    )
    page = build([msgspec.structs.replace(run.run, sources=(*run.run.sources, broken))], run.observations)
    words = Reader(page).words
    assert "This source failed (not a video). broken.mp4 is not a video: check the file" in words
    assert "1 of 3 sources failed" in words


def test_observations_without_a_run_record_still_make_a_page() -> None:
    words = Reader(build([], make_run().observations)).words
    assert "No run record was found" in words
    assert "Three face tracks" in words
    assert "not recorded" in words
    assert "dropped" not in words.split("At a glance")[0]


def test_nothing_at_all_makes_a_page() -> None:
    assert "Nothing was read." in Reader(build([], [])).words


def test_short_tracks_are_told_in_a_table_and_many_tracks_are_folded() -> None:
    run = make_run()
    lobby = [o for o in run.observations if o.stream == "lobby camera.mp4" and o.track.number == 1]
    many = [
        msgspec.structs.replace(o, track=msgspec.structs.replace(o.track, number=100 + k // 40))
        for k, o in enumerate(lobby)
    ]
    short = [msgspec.structs.replace(o, track=msgspec.structs.replace(o.track, number=7)) for o in lobby[:5]]
    reader = Reader(build([run.run], [*many, *short]))
    assert "1 short track of fewer than 12 observations" in reader.words
    ids = [a.get("id") or "" for tag, a in reader.elements if tag == "details" and "track" in (a.get("class") or "")]
    assert ids == [f"source-0-track-0-{100 + k}" for k in range(6, 13)], "six stand open, the others are folded"
    assert not [a for _, a in reader.elements if (a.get("id") or "").endswith("track-0-7")]


def test_decimation_is_said() -> None:
    run = make_run(n_frames=2600)
    assert "Drawn from 2,600 observations with at most 2,000 points a line" in Reader(page_of(run)).words


def test_records_passed_over_are_said() -> None:
    words = Reader(page_of(make_run(), skipped={"undecodable": 3, "stale_epoch": 1})).words
    assert "While reading, 3 records (undecodable), 1 record (stale epoch) passed over." in words


def test_predicted_values_are_called_so() -> None:
    run = make_run()
    predicted = [msgspec.structs.replace(o, va_origin="predicted") for o in run.observations]
    words = Reader(build([run.run], predicted)).words
    assert "Predicted valence and arousal." in words
    assert "Derived valence and arousal." not in words
    assert "both predicted" in words


def test_the_same_records_make_the_same_page() -> None:
    assert page_of(make_run()) == page_of(make_run())


def test_ids_are_unique() -> None:
    ids = re.findall(r'\bid="([^"]+)"', re.sub(r"<script.*?</script>", "", page_of(make_run()), flags=re.DOTALL))
    assert len(ids) == len(set(ids))


def test_no_figure_can_end_its_script_element() -> None:
    text = _json({"columns": {"t": ["</script><!--&\u2028"]}})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"columns": {"t": ["</script><!--&\u2028"]}}


def test_runs_of_one_setup_are_told_once_and_of_another_apart() -> None:
    runs = [make_run(run=f"run-{k}", n_frames=40) for k in range(3)]
    records = [run.run for run in runs[:2]]
    other = msgspec.structs.replace(
        runs[2].run, precision="fp32", machine={"memory_gib": "23.5"}, models={"head": "none"}, licences={}
    )
    observations = [o for run in runs for o in run.observations]
    words = Reader(build([*records, other], observations)).words
    run_part = words[words.index("How the run went", words.index("At a glance")) :]
    assert run_part.count("temperature 2.4") == 2
    assert run_part.count("Precisionbf16") == 1
    assert run_part.count("Precisionfp32") == 1
    assert "Memory23.5 GiB" in run_part
    assert "Headnoneaffect-streamer" in run_part, "no model has no licence"
    assert words.count("Three face tracks") == 0
    assert words.startswith("Nine face tracks in six sources.")
