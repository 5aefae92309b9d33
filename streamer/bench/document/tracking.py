"""What `streamer bench tracking` gave."""

from __future__ import annotations

from collections.abc import Iterator

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, number, table, words

_NAMES = {"tracker": "ours", "greedy_iou": "greedy IoU"}


def scenes(result: Result) -> str:
    """All scenes, and each kind of them."""
    head = ("", "IDF1", "recall", "precision", "switches", "swaps", "fragmentations")
    rows = []
    for kind, found in _kinds(result):
        for key, name in _NAMES.items():
            one = found[key]
            shares = (number(one[field], 3) for field in ("idf1", "recall", "precision"))
            counts = (number(one[field]) for field in ("switches", "swaps", "fragmentations"))
            rows.append((f"{name}, {kind}", *shares, *counts))
    return table(head, rows)


def chart(result: Result) -> str:
    """IDF1 by kind of scene."""
    rows = [(kind, [found[key]["idf1"] for key in _NAMES]) for kind, found in _kinds(result)]
    return bars("IDF1 of tracking, by kind of scene", rows, series=tuple(_NAMES.values()), digits=3)


def _kinds(result: Result) -> Iterator[tuple[str, Result]]:
    yield "all", result
    for kind, found in result["by_kind"].items():
        yield words(kind), found
