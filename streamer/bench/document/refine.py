"""What `streamer bench refine` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, number, table


def clips(result: Result) -> str:
    """What is saved, and how far it agrees with searching every picture whole, clip by clip and in all."""
    head = (
        "clip",
        "pictures searched whole",
        "squares",
        "CPU, times less",
        "faces found again",
        "faces more",
        "labels equal",
        "where the margin is at least 0.1",
        "new faces later by at most",
    )
    rows: list[tuple[str, ...]] = [
        (
            f"{name}, {clip['frames']} frames",
            number(clip["searches"]),
            number(clip["squares"]),
            number(clip["speed"], 2),
            number(clip["faces_found_again"], 3),
            number(clip["faces_more"]),
            number(clip["labels_equal"], 3),
            number(clip["clear_labels_equal"], 3) + (f" of {clip['clear_compared']}" if clip["clear_compared"] else ""),
            _seconds(clip["new_face_delay_s"]["max"]),
        )
        for name, clip in result["clips"].items()
    ]
    for name, whole in (("real", result["all"]), ("rendered", result.get("all_rendered"))):
        if whole is not None:
            rows.append(_all(name, whole))
    return table(head, rows)


def _all(name: str, whole: Result) -> tuple[str, ...]:
    return (
        f"all {name} ones, {number(whole['frames'])} frames",
        "",
        "",
        "",
        number(whole["faces_found_again"], 3),
        number(whole["faces_more"]),
        "",
        f"{number(whole['clear_labels_equal'], 3)} of {number(whole['clear_compared'])}",
        _seconds(whole["new_face_delay_s"]),
    )


def chart(result: Result) -> str:
    """CPU of searching every picture, as times that of refining."""
    return bars(
        "How many times less CPU refining takes", [(name, [clip["speed"]]) for name, clip in result["clips"].items()]
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{number(value, 2)} s"
