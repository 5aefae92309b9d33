"""A worker's run records and the upkeep of its bus: at the desk, now and then, never twice at once."""

from __future__ import annotations

from streamer import log
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.messages import SourceResult
from streamer.worker.desk import Desk
from streamer.worker.runs import RunBook
from streamer.worker.streams import StageTotals, StreamView


class Books:
    """Owned by the supervisor's loop; `live_run` is the run that lasts as long as the worker."""

    def __init__(self, config: Config, desk: Desk, clock: Clock, live_run: str) -> None:
        self._desk = desk
        self._book = RunBook(config, desk.bus, clock, lasting=live_run)
        self._noted: dict[tuple[str, str], SourceResult] = {}
        self._keeping = False

    def precision(self, precision: str) -> None:
        """With what the models compute."""
        self._book.precision = precision

    def note(self, view: StreamView) -> None:
        """How a stream is now, for the record of its run."""
        if view.run:  # a file that could not be opened has no name for its run
            self._noted[view.run, view.result.stream] = view.result

    def keep(self, stages: StageTotals) -> None:
        """Have the bus looked after and the records written; what is under way already is not asked for again."""
        if self._keeping:
            return
        self._keeping = True
        noted, self._noted = self._noted, {}
        seconds = dict(stages.seconds)

        def keep() -> None:
            self._desk.bus.maintain()
            self._book.note_all(noted)
            self._book.write(seconds)

        self._desk.do(keep, lambda _: self._kept(), self._kept)

    def close(self, stages: StageTotals) -> None:
        """Have them written a last time."""
        noted, seconds = self._noted, dict(stages.seconds)

        def close() -> None:
            self._book.note_all(noted)
            self._book.close(seconds)

        self._desk.do(close)

    def _kept(self, error: StreamerError | None = None) -> None:
        self._keeping = False
        if error is not None:
            log.error("books.not_kept", cause=error.cause, reason=str(error))
