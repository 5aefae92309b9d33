from __future__ import annotations

import os
import struct
from fractions import Fraction

import pytest

from streamer.config import Config
from streamer.source import Source
from streamer.worker.link import Drain, Link, LinkClosed, Open, Start, ToChild

CAMERA = Source("ü", "/videos/\udcff.mp4", "file", "live", Fraction(30000, 1001))


def pipe() -> tuple[Link, Link]:
    a_read, b_write = os.pipe()
    b_read, a_write = os.pipe()
    return (
        Link(os.fdopen(a_read, "rb"), os.fdopen(a_write, "wb")),
        Link(os.fdopen(b_read, "rb"), os.fdopen(b_write, "wb")),
    )


def test_messages_arrive_as_they_were_sent() -> None:
    here, there = pipe()
    sent = [Start(child=1, config=Config(), run=None, live_run="r"), Open.of(CAMERA, 2), Drain()]
    for message in sent:
        here.send(message)
    received = [there.receive(ToChild) for _ in sent]  # type: ignore[arg-type]
    assert received == sent
    assert isinstance(received[1], Open)
    assert received[1].source() == CAMERA
    here.close()
    there.close()


def test_a_closed_pipe_says_so_on_both_ends() -> None:
    here, there = pipe()
    here.close()
    with pytest.raises(LinkClosed):
        there.receive(ToChild)  # type: ignore[arg-type]
    with pytest.raises(LinkClosed):
        there.send(Drain())
    there.close()


def test_garbage_is_not_taken_for_a_message() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as raw:
        raw.write(struct.pack(">I", 2**31))
    link = Link(os.fdopen(reading, "rb"), open(os.devnull, "wb"))  # noqa: SIM115, PTH123
    with pytest.raises(LinkClosed):
        link.receive(ToChild)  # type: ignore[arg-type]
    link.close()
