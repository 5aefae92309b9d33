"""What `streamer bench latency` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, each, ms, number, percent, table

_SHARES = ("p50", "p95", "p99")


def whole(result: Result) -> str:
    """From packet to acknowledgement, on each bus; the p99 of the single rounds in brackets."""
    allowed = ms(result["allowed_s"], 0)
    head = (
        "bus",
        "p50, ms",
        "p95, ms",
        f"p99, ms (at most {allowed})",
        "frames missing",
        "ms CPU a frame",
        "of it encoding and publishing",
        "frames a batch",
    )
    rows = []
    for name, one in result["buses"].items():
        found = one["latency_s"]
        rows.append(
            (
                f"{name}, {result['streams']} streams at {result['fps']} frames/s",
                ms(found["p50"]),
                ms(found["p95"]),
                ms(found["p99"]) + each((1000 * value for value in one["p99_s_each"]), 0),
                percent(one["missing_share"], 2),
                ms(one["cpu_s_per_frame"], 2),
                percent(one["publish_share"], 1),
                number(one["frames_per_batch"], 2),
            )
        )
    return table(head, rows)


def stages(result: Result) -> str:
    """Where the time goes."""
    buses = result["buses"]
    head = ("stage, p50 / p95 / p99 in ms", *buses)
    rows = []
    for stage in next(iter(buses.values()))["stages_s"]:
        name = f"{stage} (linger is {ms(result['linger_s'], 0)} ms)" if stage == "linger" else stage
        cells = (" / ".join(ms(one["stages_s"][stage].get(share)) for share in _SHARES) for one in buses.values())
        rows.append((name, *cells))
    return table(head, rows)


def chart(result: Result) -> str:
    """The percentiles as bars."""
    rows = [(name, [1000 * one["latency_s"][share] for share in _SHARES]) for name, one in result["buses"].items()]
    limit = (1000 * result["allowed_s"], f"{ms(result['allowed_s'], 0)} ms")
    return bars("Packet to acknowledged record, ms", rows, series=_SHARES, limit=limit, digits=0)
