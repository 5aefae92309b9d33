"""The tables of docs/metrics.md."""

from __future__ import annotations

import re
from itertools import groupby

from streamer.metrics.declared import Metrics
from streamer.metrics.declaring import Described

_MARK = re.compile(r"(<!-- generated: metrics -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> str:
    """Every metric, by part of the process."""
    parts = []
    for section, metrics in groupby(Metrics().described, key=lambda one: one.section):
        found = list(metrics)
        only = " (of `streamer worker` only)" if found[0].where == "worker" else ""
        rows = [f"### {section}{only}", "", "| metric | kind | labels | what |", "| --- | --- | --- | --- |"]
        parts.append("\n".join([*rows, *map(_row, found)]) + "\n")
    return "\n".join(parts)


def write_tables(page: str) -> str:
    """The page with the generated part written anew."""
    return _MARK.sub(lambda match: f"{match[1]}{tables()}{match[2]}", page)


def sample_names() -> frozenset[str]:
    """The names of all samples that a scrape may have."""
    return frozenset(sample for one in Metrics().described for sample in one.samples)


def _row(one: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in one.labels)
    return f"| `{one.name}` | {one.kind} | {labels} | {one.says} |"
