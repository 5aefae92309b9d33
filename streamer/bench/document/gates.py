"""What `streamer bench gates` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, number, table


def clips(result: Result) -> str:
    """What each gate saves, and how labels agree with both."""
    head = (
        "clip",
        "searches saved by `still_scene`",
        "inferences saved by `same_face`",
        "CPU saved by both",
        "labels equal with both",
    )
    rows = []
    for name, clip in result["clips"].items():
        both = clip["both"]
        rows.append(
            (
                f"{name}, {clip['frames']} frames",
                number(clip["still_scene"]["searches_saved"], 2),
                number(clip["same_face"]["inferences_saved"], 2),
                number(both["cpu_saved"], 2),
                _labels(both, faces=clip["every_frame"]["inferences"]),
            )
        )
    return table(head, rows)


def chart(result: Result) -> str:
    """CPU saved, clip by clip."""
    rows = [(name, [clip["both"]["cpu_saved"]]) for name, clip in result["clips"].items()]
    return bars("Share of CPU that both gates save", rows)


def _labels(both: Result, faces: int) -> str:
    equal, clear = both["labels_equal"], both["clear_labels_equal"]
    if equal is None:
        return "no labels" if faces else ""
    differs = clear is not None and clear != equal
    return number(equal, 3) + (f" ({number(clear, 3)} where the margin is at least 0.1)" if differs else "")
