"""What is said of a source, and that nothing is said twice."""

from __future__ import annotations

from streamer.clock import FakeClock
from streamer.worker.sentences import Sentences


def test_a_sentence_comes_with_each_change_and_not_with_each_try() -> None:
    said: list[tuple[str, bool]] = []
    clock = FakeClock()
    sentences = Sentences(lambda sentence, wrong: said.append((sentence, wrong)), clock)
    sentences.back("door")  # nothing was wrong
    for _ in range(3):
        sentences.gone("door", "unreachable", "rtsp://cam did not answer:\n check the network, then try again.")
        clock.advance(5.0)
    sentences.gone("door", "missing", "door does not exist (404)")
    sentences.gone("yard", "stalled", "it has given nothing for 5 s: it is opened again.")
    sentences.back("door")
    sentences.back("door")
    assert said == [
        ("door: rtsp://cam did not answer: check the network, then try again. It is tried again.", False),
        ("door does not exist (404). It is tried again.", True),
        ("yard: it has given nothing for 5 s: it is opened again.", False),
        ("door: live after 15 s.", False),
    ]


def test_what_is_said_moves_no_cursor() -> None:
    said: list[str] = []
    sentences = Sentences(lambda sentence, _: said.append(sentence), FakeClock())
    sentences.gone("door", "missing", "\x1b[2J is gone")
    assert "\x1b" not in said[0]
