"""What is shipped is what the committed table decided, and a short run of the judge says the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.temporal.card import JUDGED_FILTERS, JUDGED_TABLE, file_name, shipped_filters
from engines.temporal.deciding import HEAD_ROW, judge_head, table_markdown
from engines.temporal.making import BACKBONE, NAME, Made, load_made_file, write_filter
from engines.temporal.table import LEAST_GAIN, Table, verdict_of
from engines.temporal.training import load_settings
from engines.zoo import default_head, load_head, shipped_heads
from engines.zoo.heads import SHIPPED

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def table() -> Table:
    return msgspec.json.decode(JUDGED_TABLE.read_bytes(), type=Table)


@pytest.fixture(scope="module")
def made() -> Made:
    return load_made_file(JUDGED_FILTERS)


def test_the_default_is_what_the_table_decided(table: Table) -> None:
    assert table.verdict == verdict_of(table.simulated, table.spliced, HEAD_ROW)
    names = {HEAD_ROW: NAME, "bare": "none"}
    assert default_head(BACKBONE) == names.get(table.verdict.default, file_name(table.verdict.default))
    assert len(table.seeds) >= 8


def test_the_card_has_the_table_and_every_figure_that_decided(table: Table) -> None:
    card = (SHIPPED / f"{NAME}.md").read_text(encoding="utf-8")
    assert table_markdown(table) in card
    for condition in table.verdict.conditions:
        assert condition.found in card
    others = {"bare", "ema", "ema-hysteresis", "hmm"}
    assert others | {f"{name}, remapped" for name in others} | {HEAD_ROW} == {row.name for row in table.simulated}
    assert [row.name for row in table.simulated] == [row.name for row in table.spliced]


def test_the_committed_settings_are_those_it_was_trained_with(made: Made) -> None:
    assert load_settings(ROOT / "configs" / "temporal" / "head.yaml") == made.settings
    assert load_head(NAME)[0].hidden == made.settings.units


def test_the_shipped_filters_are_the_tuned_ones(made: Made, tmp_path: Path) -> None:
    names = [file_name(one.name) for one in shipped_filters(made)]
    assert sorted([*names, NAME]) == list(shipped_heads())
    for name, one in zip(names, shipped_filters(made), strict=True):
        assert write_filter(one, tmp_path / f"{name}.onnx") == load_head(name)[0]


def test_a_short_run_of_the_judge_says_what_the_committed_table_says(made: Made, table: Table, tmp_path: Path) -> None:
    short = judge_head(NAME, made, seeds=4, tracks=60, observations=250, cache=tmp_path)
    rows = {row.name: row.mean for row in short.simulated}
    committed = {row.name: row for row in table.simulated}
    head, best = rows[HEAD_ROW], max(figures.score for name, figures in rows.items() if name != HEAD_ROW)
    assert head.score > best
    assert head.score - rows["bare"].score >= LEAST_GAIN
    assert head.nll < rows["bare"].nll
    assert head.delay <= 4
    chosen = rows[table.verdict.default]
    assert chosen.score > rows["bare"].score
    assert chosen.nll < rows["bare"].nll
    # Short tracks are scored a little lower or higher, not elsewhere.
    assert head.score == pytest.approx(committed[HEAD_ROW].mean.score, abs=0.06)
    spliced = {row.name: row.mean for row in short.spliced}
    assert spliced[HEAD_ROW].nll < spliced["bare"].nll
    assert spliced[HEAD_ROW].score > spliced[table.verdict.default].score > spliced["bare"].score
    assert spliced["bare"].accuracy > spliced[table.verdict.default].accuracy
