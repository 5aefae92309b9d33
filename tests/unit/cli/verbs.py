"""The command line as its users have it, and what a worker would write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Outgoing
from streamer.cli import main


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
