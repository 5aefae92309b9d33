"""docs/metrics.md says what the code declares, and names keep to Prometheus' conventions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.metrics import Metrics
from streamer.metrics.__main__ import main
from streamer.metrics.declared import FACE_CAUSES, FRAME_CAUSES
from streamer.metrics.declaring import Described
from streamer.metrics.reference import sample_names, write_tables
from streamer.types import DropCause

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
LABELS = {"stream", "cause", "state", "stage", "child", "role", "version", "phase", "how", "move"}
UNITS = ("_seconds", "_bytes", "_ratio")


def test_the_page_has_the_tables_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert write_tables(page) == page, "run `python -m streamer.metrics`"
    assert all(f"| `{one.name}` |" in page for one in Metrics().described)


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "metrics.md"
    shutil.copy(PAGE, page)
    page.write_text(page.read_text().replace("streamer_ready", "streamer_weary"))
    assert main([str(page)]) == 0
    assert page.read_text() == PAGE.read_text()


@pytest.mark.parametrize("one", Metrics().described, ids=lambda one: one.name)
def test_names_keep_to_the_conventions(one: Described) -> None:
    assert one.name.startswith(("streamer_", "process_"))
    assert one.name == one.name.lower()
    assert (one.kind == "counter") == one.name.endswith("_total")
    assert not one.name.removesuffix("_total").endswith(
        ("_s", "_ms", "_milliseconds", "_kb", "_count", "_sum", "_bucket")
    )
    assert set(one.labels) <= LABELS
    assert one.says.endswith(".")
    timed = any(word in one.says.lower() for word in ("time of", "time since", "how long"))
    assert not timed or one.name.removesuffix("_total").endswith(UNITS)


def test_every_sample_of_an_exposition_is_in_the_reference() -> None:
    metrics = Metrics()
    metrics.streams.begin("door")
    metrics.streams.enter("door", "live")
    metrics.fleet.begin()
    text, _ = metrics.exposition()
    samples = {s.name for family in text_string_to_metric_families(text.decode()) for s in family.samples}
    assert "streamer_frames_decoded_total" in samples
    assert samples <= sample_names()


def test_what_is_declared_is_what_is_registered() -> None:
    """Nobody registers anything past the declaration."""
    families = {family.name for family in Metrics().registry.collect()}
    described = {one.name.removesuffix("_total") for one in Metrics().described}
    assert families <= described


def test_every_cause_of_a_drop_is_of_frames_or_of_faces() -> None:
    from typing import get_args

    assert set(get_args(DropCause)) - {"decode_error"} == set(FRAME_CAUSES) | set(FACE_CAUSES)
