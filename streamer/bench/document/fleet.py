"""What the scenarios of `streamer bench fleet` gave: a row each in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, number, percent, table, yes_no

Row = tuple[str, str]
"""What was done, and what the topics say."""


def scenarios(found: Mapping[str, Result]) -> str:
    """A row for each scenario that was run."""
    rows = []
    for name, result in found.items():
        done, says = _ROWS[name](result)
        scenario = name.removeprefix("fleet-")
        rows.append((scenario, done, says, yes_no(result["good"])))
    return table(("scenario", "what was done", "what the topics say", "good"), rows)


def outage_phases(result: Result) -> str:
    """Memory of the workers and the way back, trouble by trouble."""
    head = ("trouble", "for, s", "all live again after, s", "memory grown, MB", "MB a minute")
    rows = [
        (
            "none, for comparison" if one["trouble"] == "none" else one["trouble"],
            number(one["duration_s"]),
            number(one["all_live_after_s"], 1),
            number(one["grown_mb"]),
            number(one["slope_mb_per_min"], 1),
        )
        for one in result["phases"]
    ]
    return table(head, rows)


def kills_chart(result: Result) -> str:
    """How many workers were killed where."""
    rows = [(step, [n]) for step, n in result["kills_by_step"].items()]
    return bars("Workers killed, by place in the commit", rows, digits=0)


def takeover_chart(result: Result) -> str:
    """How long the slowest stream of each round was without its owner."""
    rows = [(f"kill {k + 1}", [one["restored_s"]["max"]]) for k, one in enumerate(result["rounds"])]
    bound_s = result["bound_s"]
    return bars("Seconds from a kill to the last stream restored", rows, limit=(bound_s, f"bound {bound_s:g} s"))


def churn_chart(result: Result) -> str:
    """What happened to workers."""
    rows = [(what, [n]) for what, n in sorted(result["happened"].items())]
    return bars("What happened to workers", rows, digits=0)


def outage_chart(result: Result) -> str:
    """How memory grew."""
    rows = [(one["trouble"], [one["grown_mb"]]) for one in result["phases"]]
    return bars("Memory grown while the broker was in trouble, MB", rows, digits=1)


def cycles_chart(result: Result) -> str:
    """What the worker takes before and after."""
    before, after = result["before"], result["after"]
    rows = [(name, [before[name], after[name]]) for name in ("threads", "handles")]
    rows.append(("memory, MB", [before["rss_bytes"] / 1e6, after["rss_bytes"] / 1e6]))
    title = f"A worker before and after {result['cycles']:,} streams came and went"
    return bars(title, rows, series=("before", "after"), digits=0)


def cost_chart(result: Result) -> str:
    """Frames a second of both kinds: median and extremes."""
    rows = [(kind, [one[key] for key in ("min", "median", "max")]) for kind, one in result["fps"].items()]
    return bars("Frames a second", rows, series=("least", "median", "most"), digits=1)


def _kills(result: Result) -> Row:
    steps = result["kills_by_step"].values()
    return (
        f"{result['kills']} workers killed, {min(steps)} to {max(steps)} at each of the {len(steps)} places of the "
        f"commit; {result['jobs']} jobs",
        f"{number(result['records'])} records: {result['missing']} missing, {result['twice']} twice, "
        f"{result['changed']} changed",
    )


def _takeover(result: Result) -> Row:
    slowest = result["slowest_stream_s"]
    return (
        f"a worker with live streams killed, {slowest['n']} times; session timeout {result['session_timeout_s']:g} s",
        f"slowest stream restored after {slowest['median']:.1f} s (median; at most {slowest['max']:.1f}; bound "
        f"{result['bound_s']:g}), from the kill to the first `restored` observation at {result['sample_fps']} frames/s",
    )


def _churn(result: Result) -> Row:
    happened, verdict = result["happened"], result["verdict"]
    return (
        f"{result['workers']} workers, {result['streams']} streams at {result['sample_fps']} frames/s, "
        f"{result['minutes']:g} minutes: " + ", ".join(f"{happened.get(one, 0)} {one}s" for one in _HAPPENINGS),
        f"{number(verdict['records'])} records: {verdict['lost']} lost, {verdict['out_of_order']} out of order, "
        f"{verdict['overlaps']} times two owners; all live {result['all_live_after_s']:.1f} s after the last change",
    )


def _outage(result: Result) -> Row:
    accepted, live = result["accepted"], result["live"]
    back = [one["all_live_after_s"] for one in result["phases"] if one["trouble"] != "none"]
    others = [one["trouble"] for one in result["phases"] if one["trouble"] in ("frozen", "throttled")]
    return (
        f"the broker stopped for {result['away_s']:g} s {result['times']} times"
        + "".join(f", {one}" for one in others)
        + f", under {result['streams']} streams and {result['jobs_done']} jobs",
        f"{number(accepted['accepted'])} records accepted, {accepted['missing']} missing; {live['out_of_order']} out "
        f"of order; {number(live['duplicates'])} came twice (dropped by readers); streams live "
        f"{min(back):.1f}-{max(back):.1f} s after",
    )


def _cycles(result: Result) -> Row:
    before, after = result["before"], result["after"]
    return (
        f"{number(result['cycles'])} streams added, seen live and removed, {result['at_once']} at once",
        f"threads {before['threads']} before and {after['threads']} after, file handles {before['handles']} and "
        f"{after['handles']}, memory {before['rss_bytes'] / 1e6:.0f} and {after['rss_bytes'] / 1e6:.0f} MB",
    )


def _cost(result: Result) -> Row:
    cost, fps = result["cost"], result["fps"]
    return (
        f"the same {result['jobs']} jobs of {result['job_s']:g} s through transactions and through plain sends, "
        f"{result['pairs']} pairs, alternating",
        f"{fps['transactions']['median']:.1f} and {fps['plain']['median']:.1f} frames/s (medians): exactly once costs "
        f"{percent(cost['median'])} ({percent(cost['min'])} to {percent(cost['max'])}; at most "
        f"{percent(result['bound'], 0)} is allowed)",
    )


_HAPPENINGS = ("kill", "stop", "start")
_ROWS: Mapping[str, Callable[[Result], Row]] = {
    "fleet-kills": _kills,
    "fleet-takeover": _takeover,
    "fleet-churn": _churn,
    "fleet-outage": _outage,
    "fleet-cycles": _cycles,
    "fleet-cost": _cost,
}
NAMES = tuple(_ROWS)
