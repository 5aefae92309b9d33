"""The page itself: everything known of the runs in one HTML text that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import streamer
from streamer.colours import COLOURS
from streamer.messages import Observation, RunRecord, TrackEvent, Window
from streamer.report import summary
from streamer.report.circumplex import circumplex
from streamer.report.decimate import MAX_POINTS
from streamer.report.figures import Figure
from streamer.report.series import TrackKey, gather
from streamer.report.strip import MAX_LANES, presence, track_name
from streamer.report.timeline import timeline
from streamer.report.timescale import clock

MIN_OBSERVATIONS = 12
"""A track of fewer observations is told in a table, without figures."""
MAX_OPEN_TRACKS = 6
"""So many tracks of a source stand open; the figures of the others are drawn when somebody opens them."""


def build(
    runs: Sequence[RunRecord],
    observations: Iterable[Observation],
    tracks: Iterable[TrackEvent] = (),
    windows: Iterable[Window] = (),
    *,
    skipped: Mapping[str, int] | None = None,
) -> str:
    """The report on `runs` as one HTML document. `skipped`: records passed over while reading, by cause.

    Records may come in any order and twice. Memory is about 70 bytes an observation.
    """
    series = gather(observations)
    events: dict[TrackKey, list[TrackEvent]] = defaultdict(list)
    for event in tracks:
        events[TrackKey(event.run, event.stream, event.track.epoch, event.track.number)].append(event)
    blocks: dict[TrackKey, dict[float, Window]] = defaultdict(dict)
    for window in windows:
        key = TrackKey(window.run, window.stream, window.track.epoch, window.track.number)
        blocks[key][window.from_media_time_s] = window
    found = summary.sources(runs, series)
    figures: list[Figure] = []
    sections = [_section(k, source, events, blocks, figures) for k, source in enumerate(found)]
    plotly, script, style = _plotly(), _asset("report.js"), _asset("report.css")
    return _template().render(
        headline=summary.headline(found),
        subline=summary.subline(found),
        sections=sections,
        several_runs=len({source.stream for source in found}) < len(found),
        started=_utc(min(run.started_s for run in runs)) if runs else None,
        groups=[_group(group, found) for group in _alike(runs)],
        origins=sorted({s.va_origin for s in series.values()} or {run.va_origin for run in runs}),
        default_model=any("face-api" in name for run in runs for name in run.models.values()),
        skipped=dict(skipped or {}),
        colours=COLOURS,
        max_points=MAX_POINTS,
        max_lanes=MAX_LANES,
        min_observations=MIN_OBSERVATIONS,
        version=streamer.__version__,
        policy=_policy(plotly, script),
        figures=[Markup(_json(figure)) for figure in figures],  # noqa: S704 - `_json` leaves no markup in it
        plotly=Markup(plotly) if figures else None,  # noqa: S704 - the package's own script
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704 - our own file
    )


def _section(
    number: int,
    source: summary.SourceFacts,
    events: Mapping[TrackKey, list[TrackEvent]],
    blocks: Mapping[TrackKey, Mapping[float, Window]],
    figures: list[Figure],
) -> dict[str, Any]:
    """What the template needs of one source; its figures are appended to `figures` and known by their place there."""

    def add(figure: Figure) -> dict[str, Any]:
        figures.append(figure)
        return {"number": len(figures) - 1, "says": figure["says"], "height": figure["layout"]["height"]}

    shown = [track for track in source.tracks if track.n >= MIN_OBSERVATIONS]
    longest = sorted(source.tracks, key=lambda track: -track.n)[:MAX_LANES]
    lanes = [track for track in source.tracks if track in longest] if source.tracks else []
    overview = add(presence(lanes, source.end_s)) if lanes else None
    full: list[dict[str, Any]] = []
    for track in shown:
        windows = [blocks[track.key][t] for t in sorted(blocks.get(track.key, ()))]
        full.append(
            {
                "id": f"source-{number}-track-{track.key.epoch}-{track.key.number}",
                "name": track_name(track),
                "facts": summary.track_facts(track, events.get(track.key, ())),
                "timeline": add(timeline(track, windows)),
                "circumplex": add(circumplex(track)),
                "decimated": track.n > MAX_POINTS,
                "banded": bool(windows),
                "open": len(full) < MAX_OPEN_TRACKS,
            }
        )
    short = [track for track in source.tracks if track.n < MIN_OBSERVATIONS]
    return {
        "id": f"source-{number}",
        "facts": source,
        "presence": overview,
        "tracks": full,
        "short": [{"name": track_name(t), "facts": summary.track_facts(t, events.get(t.key, ()))} for t in short],
    }


def _alike(runs: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Runs of the same models, settings and machine together (each archive file is a run of its own), in order."""
    groups: list[list[RunRecord]] = []
    for run in runs:
        for group in groups:
            if _setup(group[0]) == _setup(run):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _setup(run: RunRecord) -> tuple[object, ...]:
    return (
        run.models,
        run.licences,
        run.precision,
        run.va_origin,
        run.calibration,
        run.settings,
        run.machine,
        run.software,
    )


def _group(runs: Sequence[RunRecord], found: Sequence[summary.SourceFacts]) -> dict[str, Any]:
    """How runs of one set-up went: models with their licences, stages, sources."""
    setup = runs[0]
    names = {run.run for run in runs}
    results = [result for run in runs for result in run.sources]
    # Each record carries the time of its whole invocation, so that adding them up would count it several times.
    stages = max((run.stage_s for run in runs), key=lambda one: sum(one.values()))
    total_s = sum(stages.values())
    analysed = sum(result.analysed for result in results)
    licensed = set()
    models = []
    for role, model in setup.models.items():
        key = next((k for k in (role, model, model.split("@")[0]) if k in setup.licences), None)
        licensed.add(key)
        licence = setup.licences[key] if key else None if model == "none" else "not recorded"
        models.append({"role": role, "model": model, "licence": licence})
    ended = [run.finished_s for run in runs if run.finished_s is not None]
    started_s = min(run.started_s for run in runs)
    return {
        "runs": runs,
        "setup": setup,
        "started": _utc(started_s),
        "took_s": max(ended) - started_s if len(ended) == len(runs) else None,
        "models": models,
        "machine": [_fact(name, value) for name, value in setup.machine.items()],
        "licences": {name: text for name, text in setup.licences.items() if name not in licensed},
        "stages": [
            {
                "name": stage,
                "used_s": used_s,
                "fraction": used_s / total_s if total_s else 0.0,
                "per_frame_ms": 1000 * used_s / analysed if analysed else None,
            }
            for stage, used_s in stages.items()
        ],
        "total_s": total_s,
        "sources": [source for source in found if source.run in names and source.result is not None],
    }


def _fact(name: str, value: str) -> tuple[str, str]:
    """A fact of the machine as people write it: `memory_gib: 23.5` is Memory, 23.5 GiB."""
    if name.endswith("_gib"):
        name, value = name.removesuffix("_gib"), f"{value} GiB"
    words = name.replace("_", " ")
    return (words.upper() if words in ("cpu", "gpu") else words[:1].upper() + words[1:]), value


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _json(figure: Figure) -> str:
    """JSON that may stand inside a script element: no character in it can end the element or open a comment."""
    text = json.dumps(figure, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """The page's content security policy: only our two scripts run, and nothing is ever fetched."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _plotly() -> str:
    text: str = get_plotlyjs()
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return resources.files("streamer.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("streamer.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    environment.filters["times"] = summary.times
    environment.filters["percent"] = _percent
    environment.filters["signed"] = lambda value: f"{value:+.2f}".replace("-", "−")
    return environment.get_template("report.html.j2")


def _percent(fraction: float) -> str:
    """10 %, <1 %: never 0 % of something that was there, never 100 % of something incomplete."""
    if 0 < fraction < 0.01:
        return "<1 %"
    if 0.99 < fraction < 1:
        return ">99 %"
    return f"{100 * fraction:.0f} %"
