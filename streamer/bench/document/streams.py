"""What `streamer bench streams` gave."""

from __future__ import annotations

from streamer.bench.document.charts import lines
from streamer.bench.document.markdown import Result, each, ms, number, percent, table, words


def whole(result: Result) -> str:
    """What was held, against the bound; the single rounds in brackets."""
    median, rounds = result["median"], result["rounds"]
    clip = result["clip"]
    head = (
        "streams",
        "held",
        "bound: decode, detect, embed",
        "held / bound",
        "goal",
        "bound of all parts",
        "p50 / p99 to the acknowledgement, ms",
        "frames a batch",
        "ms CPU a frame",
    )
    most = _most_held(rounds[0])
    latency = {} if most is None else most["latency_s"]
    row = (
        f"{clip['height_px']}p{clip['fps']}",
        number(median["held"]) + each(one["held"] for one in rounds),
        number(median["bound_streams"], 1) + each((one["bound_streams"] for one in rounds), 1),
        number(median["share_of_bound"], 2),
        number(result["goal"], 2),
        number(median["bound_of_all_parts"], 1),
        f"{ms(latency['p50'], 0)} / {ms(latency['p99'], 0)}" if latency else "",
        "" if most is None else number(most["frames_per_batch"], 2),
        "" if most is None else ms(most["cpu_s_per_frame"], 2),
    )
    return table(head, [row])


def trials(result: Result) -> str:
    """Every trial of the first round."""
    head = (
        "streams",
        "held",
        "frames missing",
        "dropped, by cause",
        "p50, ms",
        "p99, ms",
        "frames a batch",
        "ms CPU a frame",
    )
    rows = []
    for one in result["rounds"][0]["trials"]:
        latency = one["latency_s"]
        causes = ", ".join(f"{words(cause)} {number(n)}" for cause, n in sorted(one["dropped"].items()))
        rows.append(
            (
                number(one["streams"]),
                "yes" if one["held"] else "no",
                percent(one["missing_share"], 2),
                causes or "none",
                ms(latency.get("p50"), 0),
                ms(latency.get("p99"), 0),
                number(one["frames_per_batch"], 2),
                ms(one["cpu_s_per_frame"], 2),
            )
        )
    return table(head, rows)


def chart(result: Result) -> str:
    """How much is missing with how many streams."""
    series = {
        f"round {k + 1}": [(one["streams"], 100 * one["missing_share"]) for one in found["trials"]]
        for k, found in enumerate(result["rounds"])
    }
    clip = result["clip"]
    title = f"Frames missing, with so many live {clip['height_px']}p{clip['fps']} streams"
    return lines(title, series, x_label="streams", y_label="% of the frames that were due")


def _most_held(found: Result) -> Result | None:
    held: list[Result] = [one for one in found["trials"] if one["held"]]
    return held[-1] if held else None
