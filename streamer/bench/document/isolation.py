"""What `streamer bench isolation` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, each, ms, number, table, words


def scenarios(result: Result) -> str:
    """Latency of the quiet streams beside each kind of trouble; ratios of the single rounds in brackets."""
    head = ("beside", "p50, ms", "p99, ms", "p99 / that alone", "at most", "frames dropped")
    rows = []
    for name, one in result["scenarios"].items():
        ratios = one["p99_to_alone"]
        rows.append(
            (
                words(name),
                ms(one["p50_s"]),
                ms(one["p99_s"]),
                number(one["p99_to_alone_median"], 2) + each(ratios, 2),
                "" if name.startswith("alone") else number(result["allowed"], 2),
                number(sum(one["dropped"].values())),
            )
        )
    return table(head, rows)


def chart(result: Result) -> str:
    """Both percentiles as bars."""
    rows = [(words(name), [1000 * one["p50_s"], 1000 * one["p99_s"]]) for name, one in result["scenarios"].items()]
    return bars("Latency of quiet streams beside trouble, ms", rows, series=("p50", "p99"), digits=0)
