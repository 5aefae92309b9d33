"""Pages looked at in the tests' own process, but through the messages that go to a process of their own."""

from __future__ import annotations

import msgspec

from streamer.sources import page_process
from streamer.sources.page_asking import Question


def said_to(question: bytes, *_: object) -> bytes:
    """Stands in for `streamer.sources.page_asking.said_to`."""
    return page_process.answer(msgspec.json.decode(question, type=Question))
