"""What is wrong with a running process, told from what it shows of itself: pure, two scrapes in, sentences out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from streamer.control.scrape import Scrape

Verdict = Literal["ok", "note", "wrong"]
OLD_FRAME_S = 10.0
LAG_S = 5.0
LOST_SHARE = 0.01
"""More of a stream's frames lost than that, and it is too much for the machine."""
SLOW_S, SLOW_SHARE = "1.0", 0.01
DEATHS_PER_HOUR = 1.0
_GONE = ("stalled", "backing_off", "failed")
_HELP = {
    "queue_full": "the machine is slower than its sources: fewer streams, a lower rate, or more cores",
    "late": "frames are older than frames.late_s when their turn comes: fewer streams, or more cores",
}


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that was looked at. What is `wrong` is so now; a `note` is over, or for somebody to decide."""

    name: str
    verdict: Verdict
    detail: str
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A process at two moments, `apart_s` seconds from each other, and at `now_s` of wall time."""

    readiness: Mapping[str, Any]
    streams: Sequence[Mapping[str, Any]]
    before: Scrape
    after: Scrape
    apart_s: float
    now_s: float

    def more(self, name: str, **labels: str) -> float:
        """By how much a counter rose in between."""
        return max(0.0, self.after.total(name, **labels) - self.before.total(name, **labels))


def signs(seen: Seen) -> list[Sign]:
    """Everything that was looked at: what is wrong, what is to be noted, and what is well."""
    found: list[Sign] = []
    for look, well in _LOOKS:
        part = list(look(seen))
        found += part or [Sign(*well(seen))]
    return found


def _ready(seen: Seen) -> Iterator[Sign]:
    if not seen.readiness.get("ready"):
        yield Sign("ready", "wrong", f"it is not ready: {_why(seen.readiness)}")


def _sources(seen: Seen) -> Iterator[Sign]:
    for stream in seen.streams:
        name, age_s = str(stream.get("stream")), stream.get("frame_age_s")
        since = "" if age_s is None else f" since its last frame {age_s:.0f} s ago"
        if stream.get("state") in _GONE:
            why = stream.get("message") or stream.get("cause")
            yield Sign(
                "source",
                "wrong",
                f"{name} is {str(stream['state']).replace('_', ' ')}{since}{f': {why}' if why else '.'}",
                name,
            )
        elif stream.get("state") == "live" and stream.get("mode") == "live" and (age_s or 0.0) > OLD_FRAME_S:
            yield Sign("source", "wrong", f"{name} has had no frame for {age_s:.0f} s though it is connected.", name)
    if n := seen.after.total("streamer_hung_decoders"):
        yield Sign("source", "wrong", f"{n:.0f} readers are stuck inside of FFmpeg: look at what those sources send.")
    if n := seen.after.total("streamer_streams", phase="waiting"):
        yield Sign("source", "note", f"{n:.0f} streams wait for room here, or for their turn to begin.")


def _drops(seen: Seen) -> Iterator[Sign]:
    for name in seen.after.values("streamer_frames_decoded_total", "stream"):
        decoded = seen.more("streamer_frames_decoded_total", stream=name)
        for cause, help_ in _HELP.items():
            lost = seen.more("streamer_frames_dropped_total", stream=name, cause=cause)
            if decoded and lost / decoded > LOST_SHARE:
                share = 100 * min(1.0, lost / decoded)
                yield Sign("drops", "wrong", f"{name} loses {share:.0f} % of its frames ({cause}): {help_}.", name)
    for cause in ("engine_error", "not_finite"):
        if n := seen.more("streamer_faces_dropped_total", cause=cause):
            yield Sign("drops", "wrong", f"the network failed {n:.0f} times in {seen.apart_s:.0f} s ({cause}).")


def _latency(seen: Seen) -> Iterator[Sign]:
    for name in seen.after.values("streamer_latency_seconds_count", "stream"):
        n = seen.more("streamer_latency_seconds_count", stream=name)
        quick = seen.more("streamer_latency_seconds_bucket", stream=name, le=SLOW_S)
        if n and (n - quick) / n > SLOW_SHARE:
            share = 100 * (n - quick) / n
            yield Sign("latency", "wrong", f"{share:.0f} % of the frames of {name} took longer than {SLOW_S} s.", name)


def _bus(seen: Seen) -> Iterator[Sign]:
    away_s = seen.after.largest("streamer_bus_away_seconds")
    lag_s, before_s = (one.largest("streamer_bus_lag_seconds") for one in (seen.after, seen.before))
    if away_s > LAG_S:
        yield Sign("bus", "wrong", f"the bus has not answered for {away_s:.0f} s: look at the broker and the network.")
    elif lag_s > LAG_S:
        grows = " and it grows" if lag_s > before_s else ""
        yield Sign("bus", "wrong", f"records wait {lag_s:.0f} s for the bus to take them{grows}: the bus is too slow.")
    if waiting := seen.after.total("streamer_spool_waiting_records"):
        more = waiting - seen.before.total("streamer_spool_waiting_records")
        trend = "more and more" if more > 0 else "fewer and fewer" if more < 0 else "no fewer than before"
        yield Sign("spool", "wrong", f"{waiting:.0f} records wait on the disk for the bus, {trend}.")
    discarded = seen.after.total("streamer_spool_discarded_records_total")
    if discarded:
        now = seen.more("streamer_spool_discarded_records_total") > 0
        sentence = f"{discarded:.0f} records were lost on the disk since the start: raise spool.max_bytes."
        yield Sign("spool", "wrong" if now else "note", sentence)


def _children(seen: Seen) -> Iterator[Sign]:
    hours = max(1.0, (seen.now_s - seen.after.total("process_start_time_seconds")) / 3600)
    deaths = [seen.after.total("streamer_children_ended_total", how=how) for how in ("killed", "failed")]
    just_now = sum(seen.more("streamer_children_ended_total", how=how) for how in ("killed", "failed"))
    if sum(deaths):
        often = just_now > 0 or sum(deaths) / hours > DEATHS_PER_HOUR
        sentence = (
            f"{sum(deaths):.0f} child processes died since the start ({deaths[0]:.0f} killed, {deaths[1]:.0f} failed): "
            "`child.died` in the log names their streams."
        )
        yield Sign("children", "wrong" if often else "note", sentence)
    if not seen.after.total("streamer_children"):
        yield Sign("children", "wrong", "no child process is running.")


def _jobs(seen: Seen) -> Iterator[Sign]:
    if failed := seen.after.total("streamer_jobs_ended_total", state="failed"):
        yield Sign("jobs", "note", f"{failed:.0f} jobs failed here since the start: `streamer jobs status` says why.")


def _well_sources(seen: Seen) -> tuple[str, Verdict, str]:
    live = sum(stream.get("state") == "live" for stream in seen.streams)
    return "source", "ok", f"{live} of {len(seen.streams)} streams are live"


def _well(name: str, detail: str) -> tuple[str, Verdict, str]:
    return name, "ok", detail


_LOOKS = (
    (_ready, lambda _: _well("ready", "its models are warm and it does its work")),
    (_sources, _well_sources),
    (_drops, lambda seen: _well("drops", f"none for want of time in the last {seen.apart_s:.0f} s")),
    (_latency, lambda _: _well("latency", f"99 % of the frames or more within {SLOW_S} s")),
    (_bus, lambda _: _well("bus", "it takes records as they come")),
    (_children, lambda seen: _well("children", f"{seen.after.total('streamer_children'):.0f} running, none died")),
    (_jobs, lambda _: _well("jobs", "none failed")),
)


def _why(readiness: Mapping[str, Any]) -> str:
    return str(readiness.get("reason") or readiness.get("error") or "it does not say why.")
