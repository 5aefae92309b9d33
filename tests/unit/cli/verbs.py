"""The command line as its users have it, and what a worker would write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Incoming, Outgoing
from streamer.bus.topics import Topics
from streamer.cli import main
from streamer.cli import streams as streams_cli
from streamer.wishes.views import Happening, StreamWatch

WITHIN_S = 60.0


def streamer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `streamer ARGUMENTS`."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert isinstance(left.value.code, int)
    said = capsys.readouterr()
    return left.value.code, said.out, said.err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What `streamer ARGUMENTS --json` prints."""
    code, out, err = streamer(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def write(url: str, *outgoing: Outgoing) -> None:
    """Records of a worker, acknowledged."""
    bus = open_bus(url)
    producer = bus.producer()
    producer.send(outgoing)
    producer.flush(20.0)
    bus.close()


def watched(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    n_records: int,
    work: Callable[[], None],
    *options: str,
) -> list[str]:
    """The lines of a `streamer streams watch` that has begun before `work` writes its `n_records` and ends when it has
    told of all of them, however busy the machine is."""
    begun, told_of = threading.Event(), [0]

    class Observed:
        def __init__(self, names: Topics) -> None:
            self.watch = StreamWatch(names)
            begun.set()

        def take(self, record: Incoming) -> Iterator[Happening]:
            yield from self.watch.take(record)
            told_of[0] += 1

    until_s = time.monotonic() + WITHIN_S

    def elapsed_s() -> float:
        return float("inf") if told_of[0] >= n_records or time.monotonic() > until_s else 0.0

    def wait_and_work() -> None:
        if begun.wait(WITHIN_S):
            work()

    monkeypatch.setattr(streams_cli, "StreamWatch", Observed)
    monkeypatch.setattr(streams_cli, "time", SimpleNamespace(time=time.time, monotonic=elapsed_s))
    thread = threading.Thread(target=wait_and_work)
    thread.start()
    code, out, err = streamer(capsys, "streams", "watch", "--for", "1", *options)
    thread.join()
    assert code == 0, err
    return out.splitlines()
