"""What `streamer bench throughput` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, each, ms, number, table

GOALS = {"many": 0.80, "one": 0.60}
LABELS = ("", "720p", "resnet50")
"""What the result's name may end in."""


def parts(result: Result) -> str:
    """Each part alone."""
    found = result["median"]["parts"]
    shares = result.get("search", {}).get("shares", {})
    head = ("part", "ms CPU a frame", "best batch", "share of the frames")
    rows = [
        (name, ms(one["cpu_s_per_frame"], 2), str(one["batch"]), number(shares.get(name, 1.0), 2))
        for name, one in found.items()
    ]
    return table(head, rows)


def whole(result: Result) -> str:
    """The whole against the bound, with each round's frames a second in brackets."""
    median, rounds = result["median"], result["rounds"]
    bounds = each(one["bound_fps"] for one in rounds)
    rows = [("bound", number(median["bound_fps"], 1) + bounds, "", "", "", "", "")]
    goals = GOALS | ({"many": 0.90} if result["bench"].endswith("resnet50") else {})
    for key, goal in goals.items():
        one = median[key]
        rows.append(
            (
                _label(result, key),
                number(one["fps"], 1) + each(r[key]["fps"] for r in rounds),
                number(one["efficiency"], 2),
                number(goal, 2),
                ms(one["cpu_s_per_frame"], 2),
                f"{number(one['loaded_s'], 2)} s",
                f"{number(one['first_record_s'], 2)} s",
            )
        )
    head = (
        "",
        "frames/s",
        "efficiency",
        "goal",
        "ms CPU a frame",
        "models ready after",
        "first record on the bus after",
    )
    return table(head, rows)


def stages(result: Result) -> str:
    """Where the CPU time goes in the whole."""
    many, one = (result["median"][key]["stage_ms_per_frame"] for key in GOALS)
    head = ("stage, ms CPU a frame", *(_label(result, key) for key in GOALS))
    rows = sorted(many.items(), key=lambda item: -item[1])
    return table(head, [(name, number(value, 3), number(one.get(name), 3)) for name, value in rows])


def chart(result: Result) -> str:
    """Frames a second, and the bound."""
    median = result["median"]
    rows = [("bound", [median["bound_fps"]]), *((_label(result, key), [median[key]["fps"]]) for key in GOALS)]
    return bars("Archive throughput, frames a second", rows, digits=0)


def _label(result: Result, key: str) -> str:
    n_files = result["clip"]["files"]
    return "one file" if key == "one" else f"{n_files} files at once"
