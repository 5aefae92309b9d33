"""What stays of a connection whose source broke: its error, and none of the pictures it had in hand."""

from __future__ import annotations

import gc
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.batching.collector import Collector
from streamer.batching.exchange import Exchange
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import Decoder, open_source
from streamer.errors import SourceBroke, SourceError
from streamer.types import Frame
from streamer.worker import connection as module
from streamer.worker.connection import Connection, ConnectionEvent, ConnectionFailed, ConnectionOpened
from streamer.worker.intake import Intake
from tests.unit.worker.rig import video_source
from tests.videos import pattern

N_FRAMES = 12
WITHIN_S = 20.0


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What only the garbage collector would find stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return pattern(tmp_path / "bars.mp4", size=(64, 48), n_frames=N_FRAMES)


def _held() -> int:
    """How many decoders and frames there are."""
    return sum(isinstance(one, Decoder | Frame) for one in gc.get_objects())


def _connect(video: Path) -> tuple[Connection, Exchange[Connection, Frame], ConnectionEvent]:
    exchange: Exchange[Connection, Frame] = Exchange(Collector(4, 0.0), SystemClock())
    events: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
    connection = Connection("video", video_source(video), Config(), SystemClock(), exchange, events.put)
    connection.start()
    return connection, exchange, events.get(timeout=WITHIN_S)


def _read_to_the_end(video: Path) -> tuple[SourceError | None, int]:
    connection, exchange, event = _connect(video)
    assert isinstance(event, ConnectionOpened)
    exchange.open(connection, "archive", 2)
    connection.go(Intake())
    n, finished = 0, False
    while not finished:
        batch, ended = exchange.take(WITHIN_S)
        n, finished = n + len(batch), bool(ended)
    connection._thread.join(WITHIN_S)
    return connection.error, n


@pytest.mark.usefixtures("no_collector")
def test_a_source_that_broke_leaves_no_decoder_behind(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*arguments: Any) -> Decoder:
        decoder = open_source(*arguments)
        read = decoder._feed.read

        def broken() -> Iterator[Any]:
            for n, taken in enumerate(read()):
                if n == N_FRAMES // 2:
                    try:
                        raise ConnectionResetError(taken)
                    except OSError as error:
                        raise SourceBroke("it broke") from error
                yield taken

        decoder._feed.read = broken  # type: ignore[method-assign]
        return decoder

    monkeypatch.setattr(module, "open_source", breaks)
    before = _held()
    error, n = _read_to_the_end(video)
    assert str(error) == "it broke"
    assert n == N_FRAMES // 2
    assert _held() == before


@pytest.mark.usefixtures("no_collector")
def test_a_source_that_ended_leaves_no_decoder_behind(video: Path) -> None:
    before = _held()
    assert _read_to_the_end(video) == (None, N_FRAMES)
    assert _held() == before


@pytest.mark.usefixtures("no_collector")
def test_a_source_that_could_not_be_opened_leaves_only_its_error(tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 1000)
    connection, _, event = _connect(tmp_path / "junk.mp4")
    assert isinstance(event, ConnectionFailed)
    connection._thread.join(WITHIN_S)
    assert event.error.__traceback__ is None
    assert event.error.__context__ is None
