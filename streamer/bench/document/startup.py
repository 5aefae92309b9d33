"""What `streamer bench startup` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, each, number, table


def models(result: Result) -> str:
    """Seconds of each part and in all, the single starts in brackets; medians, which need not add up."""
    found = result["models"]
    parts = [part for part in next(iter(found.values())) if part != "total"]
    head = ("seconds", *parts, f"in all (at most {result['goal_s']:g})")
    rows = []
    for model, one in found.items():
        total = number(one["total"], 2) + each((start["total"] for start in result["starts"][model]), 2)
        rows.append((model, *(number(one[part], 2) for part in parts), total))
    return table(head, rows)


def chart(result: Result) -> str:
    """The parts as bars."""
    found = result["models"]
    parts = list(next(iter(found.values())))
    rows = [("in all" if part == "total" else part, [one[part] for one in found.values()]) for part in parts]
    limit = (result["goal_s"], f"at most {result['goal_s']:g} s in all")
    return bars("From the command to the first record, seconds", rows, series=tuple(found), limit=limit)
