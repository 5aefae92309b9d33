"""The pages, in NiceGUI: each is a view that is told, at most twice a second, what has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from nicegui import app, run, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from streamer.colours import COLOURS
from streamer.source import redacted
from streamer.web import acts, fleet, jobs, overview
from streamer.web.changes import Changes
from streamer.web.deltas import Deltas
from streamer.web.depth import StreamPage
from streamer.web.model import BusState, Model

STATIC = Path(__file__).parent / "static"
EVERY_S = 0.5
News = dict[str, Any]
"""What a view is told; empty for nothing."""
CHARTS: type[Element] = ui.echart
"""Named so that its library is among what pages may import: our own views draw with it."""


class Bar(Element, component="static/bar.js"):
    """Where to go, and how it is with the bus."""


class Overview(Element, component="static/overview.js"):
    """All streams."""


class Depth(Element, component="static/depth.js"):
    """One stream."""


class Fleet(Element, component="static/fleet.js"):
    """The workers."""


class Jobs(Element, component="static/jobs.js"):
    """Archive jobs."""


class Pages:
    """Puts the pages up. `bus` is the address as people may read it."""

    def __init__(self, model: Model, changes: Changes, bus: str) -> None:
        self._model = model
        self._changes = changes
        self._bus = redacted(bus)

    def put_up(self) -> None:
        """Have NiceGUI serve them."""
        app.add_static_files("/dashboard", STATIC)
        ui.add_head_html('<link rel="stylesheet" href="/dashboard/dashboard.css">', shared=True)
        ui.page("/", title="Streams · affect-streamer")(self.streams)
        ui.page("/stream/{name:path}")(self.stream)
        ui.page("/fleet", title="Fleet · affect-streamer")(self.fleet)
        ui.page("/jobs", title="Jobs · affect-streamer")(self.jobs)

    def streams(self) -> None:
        """The overview."""
        with self._frame("streams"):
            view = _with(Overview(), colours=COLOURS)
            self._acting(view)
            self._live(view, lambda: _OverviewNews(self._model).news)

    def stream(self, name: str) -> None:
        """One stream in depth."""
        ui.page_title(f"{name} · affect-streamer")
        with self._frame("streams"):
            view = _with(Depth(), colours=COLOURS, stream=name)
            self._acting(view)
            self._live(view, lambda: _DepthNews(self._model, name).news)

    def fleet(self) -> None:
        """The fleet."""
        with self._frame("fleet"):
            self._live(Fleet(), lambda: _FleetNews(self._model).news)

    def jobs(self) -> None:
        """Archive jobs."""
        with self._frame("jobs"):
            view = Jobs()
            self._acting(view)
            self._live(view, lambda: _JobsNews(self._model).news)

    def _frame(self, page: str) -> Element:
        frame = ui.element("div").classes("dash")
        with frame:
            self._live(_with(Bar(), page=page, bus=self._bus), lambda: _BarNews(self._model, self._bus).news)
        return frame

    def _live(self, view: Element, begin: Callable[[], Callable[[], News]]) -> None:
        """Tell `view` its news from when it says that it is ready; when it says so again, all of it again."""
        news: list[Callable[[], News]] = []

        def tell() -> None:
            told = news[0]() if news else {}
            if told:
                view.run_method("tell", told)

        def ready() -> None:
            news[:] = [begin()]
            tell()

        view.on("ready", ready)
        ui.timer(EVERY_S, tell)

    def _acting(self, view: Element) -> None:
        async def act(event: GenericEventArguments) -> None:
            answer = await run.io_bound(acts.done, event.args, self._model, self._changes)
            if answer is not None:
                view.run_method("answered", msgspec.to_builtins(answer))

        view.on("act", act)


class _BarNews:
    def __init__(self, model: Model, bus: str) -> None:
        self._model = model
        self._bus = bus
        self._told: News = {}

    def news(self) -> News:
        bus = self._model.bus()
        news: News = {"problem": problem(bus, self._bus), "known": bus.known, "away": bus.is_away}
        if news == self._told:
            return {}
        self._told = news
        return news


def problem(bus: BusState, address: str) -> str | None:
    """What is wrong with the bus, in a sentence or two."""
    if bus.problem is not None:
        before = "The bus is away, what is shown is old" if bus.known else f"Waiting for the bus {address}"
        return f"{before}: {bus.problem.rstrip('.')}. It is tried again until it answers."
    if not bus.connected:
        return f"Waiting for the bus {address}." if bus.is_away else None
    return "The bus does not answer: what is shown is old." if bus.is_away else None


class _OverviewNews:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows = Deltas()
        self._since: dict[str, int] = {}
        self._told: News = {}

    def news(self) -> News:
        with self._model.lock:
            facts = {"known": self._model.bus().known, "fleet": self._model.has_fleet()}
            rows = self._rows.of(overview.rows(self._model))
            sparks = overview.sparks(self._model, self._since)
        news: News = {"fresh": True} if not self._told else {}
        news |= {key: value for key, value in facts.items() if self._told.get(key) != value}
        self._told = facts
        return news | ({"rows": rows} if rows else {}) | ({"sparks": sparks} if sparks else {})


class _DepthNews:
    def __init__(self, model: Model, stream: str) -> None:
        self._model = model
        self._page = StreamPage(stream)
        self._told: News = {}

    def news(self) -> News:
        with self._model.lock:
            told = self._page.news(self._model)
            facts = {"known": self._model.bus().known, "fleet": self._model.has_fleet(), "missing": told is None}
        news: News = {"fresh": True} if not self._told else {}
        news |= {key: value for key, value in facts.items() if self._told.get(key) != value}
        self._told = facts
        return news | (told or {})


class _FleetNews:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._parts = {"workers": Deltas(), "waiting": Deltas(), "summary": Deltas()}
        self._known: bool | None = None

    def news(self) -> News:
        with self._model.lock:
            known = self._model.bus().known
            rows = {
                "workers": fleet.workers(self._model),
                "waiting": fleet.waiting(self._model),
                "summary": {"all": fleet.summary(self._model)},
            }
        news: News = {"fresh": True} if self._known is None else {}
        news |= {} if known == self._known else {"known": known}
        self._known = known
        return news | {part: told for part, deltas in self._parts.items() if (told := deltas.of(rows[part]))}


class _JobsNews:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._batches = Deltas()
        self._known: bool | None = None

    def news(self) -> News:
        known = self._model.bus().known
        told = self._batches.of(jobs.rows(self._model))
        news: News = {"fresh": True} if self._known is None else {}
        news |= {} if known == self._known else {"known": known}
        self._known = known
        return news | ({"batches": told} if told else {})


def _with(element: Element, **props: object) -> Element:
    """The element with properties that are more than text."""
    element.props.update(props)
    return element
