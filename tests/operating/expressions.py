"""What the files in deploy/ ask of Prometheus: expressions, and the metrics that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "affect-streamer.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*", "$stream": ".*"}
_NAMES = re.compile(r"\b(?:streamer|process)_\w+|\bup\b")


def dashboard() -> Any:
    """The dashboard."""
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panels() -> list[dict[str, Any]]:
    """Its panels, without the headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_expressions() -> Iterator[str]:
    """What the panels ask, with every variable filled in."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield expression


def alerts() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def watched(alert: dict[str, Any]) -> str:
    """What an alert looks at, without the bound that it holds it against."""
    expression, n = re.subn(r"\s*(==|>|<)\s*[0-9.]+$", "", alert["expr"].strip())
    assert n == 1, f"{alert['alert']} has no bound at its end"
    return expression


def names_in(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(_NAMES.findall(re.sub(r'"[^"]*"', '""', expression)))
