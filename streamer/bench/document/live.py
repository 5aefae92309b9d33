"""What the scenarios of `streamer bench live` gave."""

from __future__ import annotations

from typing import Any

from streamer.bench.document.charts import bars, lines, shares
from streamer.bench.document.markdown import Result, number, percent, table, words, yes_no


def flaps(result: Result) -> str:
    """Each kind of fault: until it was noticed, and from the camera's return to the stream's."""
    allowed = result["allowed"]
    head = (
        "fault",
        "times",
        f"noticed after, s (at most {allowed['noticed_s']:g})",
        f"back after, s (at most {allowed['back_s']:g})",
    )
    rows = [
        (words(kind), number(one["n"]), _spread(one["noticed_s"]), _spread(one["back_s"]))
        for kind, one in result["by_kind"].items()
    ]
    rows.append(("all", number(result["faults"]), _spread(result["noticed_s"]), _spread(result["back_s"])))
    return table(head, rows)


def flaps_verdicts(result: Result) -> str:
    """What was asked of it, and what came of it."""
    control, child = result["control"], result["child"]
    says = {
        "noticed": f"at most {_most(result['noticed_s'])} s until a fault was noticed",
        "back": f"{result['restarts_by_hand']} restarts by hand",
        "tracks": f"{result['tracks_kept']} times the same tracks went on, {result['tracks_lost']} times not; "
        f"{result['epochs']} epoch",
        "flat": _growth(child),
        "control": f"largest gap of the stream that nobody touched: {control['largest_gap_s']:.2f} s",
        "worker": "ended as asked",
    }
    return _verdicts(result, says)


def flaps_chart(result: Result) -> str:
    """How many faults were noticed, and over, within which time."""
    rounds = result["rounds"]
    noticed = [one["noticed_s"] for one in rounds if one["noticed_s"] is not None and one["kind"] != "at_start"]
    back = [one["back_s"] for one in rounds if one["back_s"] is not None]
    series = {"noticed": shares(noticed), "back": shares(back)}
    return lines("Faults of a camera", series, x_label="within, s", y_label="share of the faults")


def page(result: Result) -> str:
    """Both pages: one whose address says when it expires, one whose address says nothing."""
    head = (
        "address",
        "page loads",
        "connections",
        "reconnect, s",
        "largest gap, s",
        "largest gap within a connection, s",
        "tracks",
        "good",
    )
    rows = [
        (
            name.replace("-", " "),
            number(one["page_loads"]),
            number(one["connections"]),
            _spread(one["reconnect_s"]),
            number(one["largest_gap_s"], 2),
            number(one["largest_gap_within_a_connection_s"], 2),
            number(one["tracks"]),
            yes_no(one["good"]),
        )
        for name, one in result["streams"].items()
    ]
    return table(head, rows)


def page_chart(result: Result) -> str:
    """What a reconnect took, and the largest gap."""
    rows = [
        (
            name.replace("-", " "),
            [one["reconnect_s"].get("p50"), one["reconnect_s"].get("max"), one["largest_gap_s"]],
        )
        for name, one in result["streams"].items()
    ]
    return bars("Pages whose address expires, seconds", rows, series=("reconnect p50", "longest", "largest gap"))


def soak(result: Result) -> str:
    """Where every frame of each stream went."""
    faults = result["faults_by_stream"]
    head = ("stream", "faults", "decoded", "analysed", "dropped, by cause", "unaccounted", "corrupt packets")
    rows = [
        (
            name,
            number(faults.get(name, 0)),
            number(one["decoded"]),
            number(one["analysed"]),
            _causes(one["dropped_by_cause"]),
            number(one["unaccounted"]),
            number(one["corrupt_packets"]),
        )
        for name, one in result["streams"].items()
    ]
    return table(head, rows)


def soak_verdicts(result: Result) -> str:
    """What was asked of it, and what came of it."""
    frames = result["frames"]
    says = {
        "accounted": f"{number(frames['decoded'])} frames decoded, {number(frames['analysed'])} analysed, "
        f"{number(frames['dropped'])} dropped",
        "flat": _growth(result["child"]),
        "no_hand": f"{result['faults']} faults in {result['minutes']:g} minutes, {len(result['needed_a_hand'])} "
        "streams that needed a hand",
        "worker": "ended as asked",
    }
    return _verdicts(result, says)


def soak_chart(result: Result) -> str:
    """Frames of each stream."""
    rows = [(name, [one["analysed"], one["dropped"]]) for name, one in result["streams"].items()]
    return bars("Frames of each stream", rows, series=("analysed", "dropped"), digits=0)


def _verdicts(result: Result, says: dict[str, str]) -> str:
    rows = [(words(name), says.get(name, ""), yes_no(good)) for name, good in result["verdicts"].items()]
    return table(("asked", "measured", "good"), rows)


def _growth(child: dict[str, Any]) -> str:
    if not child:
        return "too short to say"
    grown = child["rss_mb_late"] / child["rss_mb_early"] - 1
    return (
        f"memory {child['rss_mb_early']:.0f} MB early and {child['rss_mb_late']:.0f} late ({percent(grown)}), threads "
        f"{child['threads_early']} and {child['threads_late']}, file handles {child['handles_early']} and "
        f"{child['handles_late']}"
    )


def _spread(found: dict[str, float]) -> str:
    return f"{found['p50']:.2f}, p95 {found['p95']:.2f}, longest {found['max']:.2f}" if found else ""


def _most(found: dict[str, float]) -> str:
    return f"{found['max']:.2f}" if found else "?"


def _causes(dropped: dict[str, int]) -> str:
    return ", ".join(f"{words(cause)} {number(n)}" for cause, n in sorted(dropped.items())) or "none"
