from __future__ import annotations

import threading

from streamer.batching.collector import Collector
from streamer.batching.exchange import Exchange
from streamer.clock import FakeClock, SystemClock


def exchange(max_frames: int = 4) -> Exchange[str, int]:
    return Exchange(Collector(max_frames, 0.001), SystemClock())


def test_an_archive_loses_nothing_between_threads() -> None:
    lanes = exchange()
    lanes.open("a", "archive", 2)

    def decode() -> None:
        for n in range(200):
            lanes.put("a", n, "archive")
        lanes.end("a")

    decoder = threading.Thread(target=decode)
    decoder.start()
    seen: list[int] = []
    finished: list[str] = []
    while not finished:
        batch, finished = lanes.take(20.0)
        seen += [item for _, item in batch]
    decoder.join()
    assert seen == list(range(200))


def test_closing_a_lane_frees_a_waiting_decoder() -> None:
    lanes = exchange()
    lanes.open("a", "archive", 1)
    lanes.put("a", 1, "archive")
    results: list[int | None] = []
    decoder = threading.Thread(target=lambda: results.append(lanes.put("a", 2, "archive")))
    decoder.start()
    assert lanes.close("a") == [1]
    decoder.join(20.0)
    assert results == [2]


def test_wake_returns_an_empty_batch() -> None:
    lanes = exchange()
    lanes.wake()
    assert lanes.take(60.0) == ((), [])


def test_a_frame_for_a_lane_that_is_gone_comes_back_and_waits_for_nobody() -> None:
    lanes = exchange()
    assert lanes.put("never opened", 1, "archive") == 1
    lanes.open("a", "archive", 1)
    lanes.end("a")
    assert lanes.put("a", 1, "archive") == 1
    lanes.close("a")
    assert lanes.put("a", 2, "archive") == 2
    lanes.end("a")
    assert lanes.take(0.0) == ((), [])


def test_a_lane_that_ends_is_told_of_until_it_is_closed() -> None:
    lanes = exchange()
    lanes.open("a", "archive", 4)
    lanes.put("a", 1, "archive")
    lanes.end("a")
    assert lanes.take(5.0) == ([("a", 1)], ["a"])
    assert lanes.take(5.0) == ((), ["a"])
    lanes.close("a")
    assert lanes.take(0.0) == ((), [])


def test_frames_that_came_too_late_are_dropped_and_told_of_once() -> None:
    clock = FakeClock(10.0)
    lanes: Exchange[str, int] = Exchange(Collector(4, 0.001, late_s=1.0), clock)
    lanes.open("a", "live", 4)
    lanes.put("a", 1, "live", born_s=8.9)
    lanes.put("a", 2, "live", born_s=9.5)
    clock.advance(0.1)
    assert lanes.take(0.0) == ([("a", 2)], [])
    assert lanes.late() == [("a", 1)]
    assert lanes.late() == []


def test_a_batch_of_late_frames_alone_is_empty() -> None:
    clock = FakeClock(10.0)
    lanes: Exchange[str, int] = Exchange(Collector(4, 0.001, late_s=1.0), clock)
    lanes.open("a", "live", 4)
    lanes.put("a", 1, "live", born_s=8.0)
    clock.advance(0.1)
    assert lanes.take(60.0) == ([], [])
    assert lanes.late() == [("a", 1)]


def test_others_pass_while_a_crowd_is_worked_on() -> None:
    lanes = exchange()
    lanes.open("crowd", "live", 2)
    lanes.open("a", "live", 2, priority=1)
    lanes.expect("crowd", 20)
    lanes.put("crowd", 1, "live")
    assert lanes.take(5.0) == ([("crowd", 1)], [])
    lanes.put("crowd", 2, "live")
    lanes.put("a", 3, "live")
    lanes.prioritise("a", 0)
    assert lanes.take_passing({"crowd"}) == [("a", 3)]
    assert lanes.take(5.0) == ([("crowd", 2)], [])


def test_the_loop_sleeps_until_a_batch_is_due_and_decoders_until_there_is_room() -> None:
    policy: Collector[str, int] = Collector(4, 60.0)
    lanes: Exchange[str, int] = Exchange(policy, SystemClock())
    lanes.open("clip", "archive", 4)

    def decode() -> None:
        for k in range(8):
            lanes.put("clip", k, "archive")
        lanes.end("clip")

    thread = threading.Thread(target=decode)
    taken: list[int] = []
    thread.start()
    while len(taken) < 8:
        batch, _ = lanes.take(60.0)
        taken += [item for _, item in batch]
    thread.join(20)
    assert taken == list(range(8))
    assert not thread.is_alive()
