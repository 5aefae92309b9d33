"""The files that operators take: rules, dashboard, scrape configuration and runbook name what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from streamer.log_events import EVENTS
from streamer.metrics import Metrics
from streamer.metrics.reference import sample_names
from tests.operating.expressions import (
    ALERTS,
    DEPLOY,
    alerts,
    dashboard,
    dashboard_expressions,
    names_in,
    panels,
    watched,
)
from tests.operating.tools import ROOT, tools

RUNBOOK = ROOT / "docs" / "operating.md"
KNOWN = sample_names() | {"up"}
NAMES = {one.name for one in Metrics().described} | {"up"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tools().promtool, *map(str, arguments)], check=False, capture_output=True, text=True, cwd=DEPLOY / "prometheus"
    )


def test_the_rules_and_the_scrape_configuration_are_right() -> None:
    for command in (("check", "rules", "alerts.yaml"), ("check", "config", "prometheus.yaml")):
        done = promtool(*command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_pass_their_unit_tests() -> None:
    done = promtool("test", "rules", "alerts_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_with_another_bound_fails_its_unit_test(tmp_path: Path) -> None:
    for path in ALERTS.parent.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    rules = (tmp_path / "alerts.yaml").read_text()
    assert rules.count("> 0.01") == 1
    (tmp_path / "alerts.yaml").write_text(rules.replace("> 0.01", "> 0.2"))
    done = promtool("test", "rules", tmp_path / "alerts_test.yaml")
    assert done.returncode != 0
    assert "FramesLost" in done.stdout + done.stderr


def test_every_rule_is_tested_both_ways() -> None:
    tests = yaml.safe_load((ALERTS.parent / "alerts_test.yaml").read_text())["tests"]
    names = {alert["alert"] for alert in alerts()}
    healthy, wrong = (test["alert_rule_test"] for test in tests)
    assert {case["alertname"] for case in healthy if not case.get("exp_alerts")} == names
    assert {case["alertname"] for case in wrong if case.get("exp_alerts")} == names


def test_rules_and_dashboard_name_metrics_that_exist() -> None:
    expressions = [*dashboard_expressions(), *(watched(alert) for alert in alerts())]
    assert len(expressions) > 60
    for expression in expressions:
        names = names_in(expression)
        assert names, expression
        assert names <= KNOWN, f"{names - KNOWN} in {expression}"


def test_every_metric_of_ours_is_on_the_dashboard_or_explained() -> None:
    shown = {name for expression in dashboard_expressions() for name in names_in(expression)}
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    missing = {name for name in KNOWN if re.sub(r"_(bucket|sum|count)$", "", name) not in bare}
    assert {name for name in missing if name.startswith("streamer_")} == {
        "streamer_records_total",  # beside faces it says little
        "streamer_source_transitions_total",  # the states themselves are shown
        "streamer_reorder_delay_seconds",  # a property of the source, in the latency already
    }


def test_the_dashboard_is_whole() -> None:
    board = dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "instance", "stream"]
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, f"{panel['title']} lies over another"
        places |= cells
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def _runbook() -> list[list[str]]:
    text = RUNBOOK.read_text(encoding="utf-8")
    section = text.partition("## Runbook")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def test_each_row_of_the_runbook_names_metrics_and_events_that_exist() -> None:
    rows = _runbook()
    assert len(rows) >= 18
    for row in rows:
        assert len(row) == 4, row
        symptom, metric, cause, cure = row
        assert symptom
        assert cause
        assert cure
        named = names_in(metric)
        assert named, row
        assert named <= NAMES, f"{named - NAMES} in the row {symptom}"
    text = "\n".join(" ".join(row) for row in rows)
    events = set(re.findall(r"`(\w+\.\w+)` in the log", text))
    assert events
    assert events <= set(EVENTS)


def test_every_alert_has_its_row_in_the_runbook() -> None:
    symptoms = "\n".join(row[0] for row in _runbook())
    for alert in alerts():
        assert f"`{alert['alert']}`" in symptoms, alert["alert"]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_alerts_say_how_bad_it_is_and_what_it_is(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["summary"].endswith(".")
