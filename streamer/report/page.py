"""The page itself: everything known of the runs in one HTML text that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import streamer
from streamer.colours import COLOURS
from streamer.messages import Observation, RunRecord, TrackEvent, Window
from streamer.report import budget, salient, setups, sidebyside, summary
from streamer.report.figures import Figure
from streamer.report.sections import section, sections_of, top_moments
from streamer.report.series import TrackKey, TrackSeries, gather
from streamer.report.strip import MAX_LANES
from streamer.report.tiles import HEIGHT, WIDTH, tile
from streamer.report.timescale import clock
from streamer.types import EXPRESSIONS

_SCRIPTS = ("draw.js", "filter.js", "link.js", "keys.js", "print.js")


def build(
    runs: Sequence[RunRecord],
    observations: Iterable[Observation],
    tracks: Iterable[TrackEvent] = (),
    windows: Iterable[Window] = (),
    *,
    skipped: Mapping[str, int] | None = None,
) -> str:
    """The report on `runs` as one HTML document. `skipped`: records passed over while reading, by cause.

    Records may come in any order and twice. Memory is about 90 bytes an observation.
    """
    return build_from(runs, gather(observations), tracks, windows, skipped=skipped)


def build_from(
    runs: Sequence[RunRecord],
    series: Mapping[TrackKey, TrackSeries],
    tracks: Iterable[TrackEvent] = (),
    windows: Iterable[Window] = (),
    *,
    skipped: Mapping[str, int] | None = None,
) -> str:
    """`build` on observations that were gathered before. The page never exceeds `budget.MAX_BYTES`."""
    events: dict[TrackKey, list[TrackEvent]] = defaultdict(list)
    for event in tracks:
        events[TrackKey(event.run, event.stream, event.track.epoch, event.track.number)].append(event)
    blocks: dict[TrackKey, dict[float, Window]] = defaultdict(dict)
    for window in windows:
        key = TrackKey(window.run, window.stream, window.track.epoch, window.track.number)
        blocks[key][window.from_media_time_s] = window
    figures: list[Figure] = []

    def add(figure: Figure) -> dict[str, Any]:
        figures.append(figure)
        return {"number": len(figures) - 1, "says": figure["says"], "height": figure["layout"]["height"]}

    found = summary.sources(runs, series)
    shares = budget.share_out(found)
    sections = [section(k, s, shares, events, blocks, add) for k, s in enumerate(sections_of(found))]
    compared, not_compared = sidebyside.compare(runs, found, add)
    ways = setups.ways(runs)
    plotly, script, style = _plotly(), _script(), _asset("report.css")
    return _template().render(
        headline=summary.headline(found),
        subline=summary.subline(found),
        sections=sections,
        rows=[(f"source-{k}" if k < len(sections) else None, s) for k, s in enumerate(found[: budget.MAX_ROWS])],
        n_sources=len(found),
        tiles=[(part, tile(part["facts"])) for part in sections],
        tile_size=(WIDTH, HEIGHT),
        compared=compared,
        not_compared=not_compared,
        letters={run: way.letter for way in ways for run in way.runs} if len(ways) > 1 else {},
        ways=ways if len(ways) > 1 else [],
        top=top_moments(sections),
        salient=salient,
        several_runs=len({source.stream for source in found}) < len(found),
        started=setups.utc(min(run.started_s for run in runs)) if runs else None,
        groups=[setups.account(group, found) for group in setups.alike(runs)],
        origins=sorted({s.va_origin for s in series.values()} or {run.va_origin for run in runs}),
        default_model=any("face-api" in name for run in runs for name in run.models.values()),
        skipped=dict(skipped or {}),
        expressions=EXPRESSIONS,
        colours=COLOURS,
        budget=budget,
        points=shares.points,
        max_lanes=MAX_LANES,
        version=streamer.__version__,
        policy=_policy(plotly, script),
        figures=[Markup(_json(figure)) for figure in figures],  # noqa: S704 - `_json` leaves no markup in it
        plotly=Markup(plotly) if figures else None,  # noqa: S704 - the package's own script
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704 - our own file
    )


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


@cache
def _script() -> str:
    """The page's own script: its parts inside one scope."""
    return '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();\n"


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
    environment.filters["slug"] = lambda name: name.replace(" ", "-")
    return environment.get_template("report.html.j2")


def _percent(fraction: float) -> str:
    """10 %, <1 %: never 0 % of something that was there, never 100 % of something incomplete."""
    if 0 < fraction < 0.01:
        return "<1 %"
    if 0.99 < fraction < 1:
        return ">99 %"
    return f"{100 * fraction:.0f} %"
