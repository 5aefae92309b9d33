"""What may be asked of a run while it goes on: its streams are looked at, added, changed and removed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streamer.config import Config
from streamer.control.checks import NotFollowed, checked
from streamer.control.words import (
    Change,
    Health,
    NotChangeable,
    Readiness,
    StreamShown,
    Unknown,
    Wish,
    changed,
    defined,
)
from streamer.messages import StreamDefinition
from streamer.metrics import Metrics
from streamer.source import Source
from streamer.worker.asking import Asking
from streamer.worker.run_streams import RunStream, RunStreams, wanted_of
from streamer.worker.shown import shown
from streamer.worker.streams import StreamView

MOST_STREAMS = 1000


@dataclass(slots=True)
class RunControl:
    """Its public methods are for any thread; what they do is done in the supervisor's loop.

    `view` makes the view of a new stream; `settle` has a stream's view say that it waits, is paused, or is gone.
    """

    config: Config
    asking: Asking
    metrics: Metrics
    live: RunStreams
    views: dict[str, StreamView]
    view: Callable[[Source], StreamView]
    settle: Callable[[str], None]
    n_children: Callable[[], int]
    ready: Callable[[], Readiness]
    run: str

    def health(self) -> Health:
        return self.asking.ask(
            lambda: Health(role="run", run=self.run, streams=len(self.views), children=self.n_children())
        )

    def readiness(self) -> Readiness:
        return self.asking.ask(self.ready)

    def streams(self) -> list[StreamShown]:
        return self.asking.ask(self._shown)

    def put(self, stream: str, wish: Wish) -> str:
        return self.asking.ask(lambda: self._put(defined(stream, wish, time.time())))

    def change(self, stream: str, change: Change) -> str:
        return self.asking.ask(lambda: self._change(stream, change))

    def remove(self, stream: str) -> str:
        return self.asking.ask(lambda: self._remove(stream))

    # -- in the loop ------------------------------------------------------------------------------------------------

    def _shown(self) -> list[StreamShown]:
        found = []
        for name, view in sorted(self.views.items()):
            one = self.live.streams.get(name)
            if one is None and view.source.mode == "live":
                continue  # it is being let go of
            wanted = wanted_of(view.source, lambda _: 0) if one is None else one.wanted
            found.append(shown(wanted.definition, view))
        return found

    def _put(self, definition: StreamDefinition) -> str:
        stream = definition.stream
        known = self._known(stream)
        if known is None and len(self.live.streams) >= MOST_STREAMS:
            raise NotFollowed("limit", f"this process watches {MOST_STREAMS} streams, which is the most: remove some.")
        self._want(definition, known, returns=True, guarded=True)
        return "added" if known is None else "replaced"

    def _change(self, stream: str, change: Change) -> str:
        known = self._known(stream)
        if known is None:
            raise Unknown(f"there is no stream {stream}: PUT one, or GET /streams for the names.")
        before = known.wanted.definition
        after = changed(before, change, time.time())
        moved = after.source != before.source
        self._want(after, known, returns=known.returns or moved, guarded=known.guarded or moved)
        return "changed"

    def _remove(self, stream: str) -> str:
        if self._known(stream) is None:
            raise Unknown(f"there is no stream {stream}: GET /streams for the names.")
        if self.live.remove(stream):
            self.settle(stream)
        return "removed"

    def _known(self, stream: str) -> RunStream | None:
        view = self.views.get(stream)
        if view is not None and view.source.mode == "archive":
            raise NotChangeable(f"{stream} is a file that is analysed whole: only live streams can be changed.")
        return self.live.streams.get(stream)

    def _want(self, definition: StreamDefinition, known: RunStream | None, *, returns: bool, guarded: bool) -> None:
        stream = definition.stream
        wanted = checked(definition, self.config, None if known is None else known.wanted)
        if known is None or known.phase == "over" or wanted.source != known.wanted.source:
            self.views[stream] = self.view(wanted.source)
        self.live.want(wanted, returns=returns, guarded=guarded)
        self.settle(stream)
