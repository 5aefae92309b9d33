"""Live sources of a run, with children that do what a test says: nothing needs a hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Producer
from streamer.bus.read import drain, typed
from streamer.bus.sqlite import SqliteProducer
from streamer.clock import FakeClock
from streamer.config import WorkerSettings
from streamer.control.checks import NotFollowed
from streamer.control.words import Change as ChangeWish
from streamer.control.words import NotChangeable, Unknown, Wish
from streamer.errors import BusUnavailable, StreamerError
from streamer.messages import Status
from streamer.progress import StreamProgress
from streamer.source import Kind, Source
from streamer.worker import claims
from streamer.worker import supervisor as supervisor_module
from streamer.worker.asking import Asked, Asking
from streamer.worker.children import Posted
from streamer.worker.link import (
    Change,
    Drain,
    Drained,
    Ended,
    Fatal,
    Message,
    Open,
    Opened,
    Release,
    Reopen,
    SourceGone,
    Start,
    StreamTick,
    Tick,
    Tuning,
)
from streamer.worker.run_streams import PATIENCE_S
from streamer.worker.supervisor import RunOutcome, Supervisor
from tests.unit.worker.rig import config_for
from tests.unit.worker.test_supervisor import Answer, Scripted, ended, good, opened, states

CAMERA = Source("door", "rtsp://cam/1", "rtsp", "live")
OTHER = Source("lobby", "rtsp://cam/2", "rtsp", "live")


def live(work: str) -> Opened:
    return opened(work, mode="live", duration_s=None)


def gone(work: str, cause: str = "unreachable", was_open: bool = False) -> SourceGone:
    return SourceGone(work=work, cause=cause, message=f"{work} is away ({cause})", opened=was_open)


def ticked(work: str, decoded: int = 10) -> Tick:
    one = StreamTick(
        work=work,
        state="live",
        media_time_s=1.0,
        faces_now=0,
        decoded=decoded,
        analysed=decoded,
        faces=0,
        records=0,
        corrupt_packets=0,
        dropped={},
    )
    return Tick(streams=(one,), published=0, stage_s={})


def proper(children: Scripted, child: int, message: Message) -> None:
    """A child whose sources are there, and that lets go of them when it should."""
    match message:
        case Open():
            children.say(child, live(message.work), ticked(message.work))
        case Release():
            children.say(child, ended(message.work, state="interrupted", mode="live"))
        case Drain():
            works = {m.work for n, m in children.told if isinstance(m, Open) and n == child}
            left = {m.work for n, m in children.told if isinstance(m, Release) and n == child}
            for work in sorted(works - left):
                children.say(child, ended(work, state="interrupted", mode="live"))
            children.say(child, Drained())
            children.die(child, 0)
        case _:
            good(children, child, message)


class Rig:
    def __init__(self, folder: Path, sources: list[Source], answer: Answer, controlled: bool = False) -> None:
        settings = msgspec.convert({"children": 1}, WorkerSettings)
        self.config = msgspec.structs.replace(config_for(folder), worker=settings)
        self.clock = FakeClock()
        self.children = Scripted(answer, self.clock)
        self.bus = open_bus(self.config.bus)
        self.said: list[tuple[str, bool]] = []
        self.supervisor = Supervisor(
            self.config,
            sources,
            self.bus,
            clock=self.clock,
            children=self.children,
            say=lambda sentence, wrong: self.said.append((sentence, wrong)),
            controlled=controlled,
        )
        self.control = self.supervisor.control
        self.control.asking = Asking(at_once)
        self.after: list[tuple[float, Callable[[], Any]]] = []
        self.rows: dict[str, str] = {}
        self.supervisor._show = self._act

    def at(self, second: float, act: Callable[[], Any]) -> None:
        """Have something done in the loop so many seconds after the start."""
        self.after.append((self.clock.monotonic_s() + second, act))

    def run(self) -> RunOutcome:
        return self.supervisor.run()

    def told(self, kind: type[Message]) -> list[Any]:
        return [message for _, message in self.children.told if isinstance(message, kind)]

    def state(self, stream: str) -> str:
        return {one.stream: one.state for one in self.control.streams()}[stream]

    def statuses(self, stream: str) -> list[Status]:
        """What the supervisor itself has said of it on the bus: these children say nothing there."""
        return [one for one in typed(drain(self.bus, ["affect.status"]), Status) if one.stream == stream]

    def _act(self, rows: Sequence[StreamProgress]) -> None:
        self.rows = {row.stream: row.state for row in rows}
        for child in self.children:
            self.children.say(child, Tick(streams=(), published=0, stage_s={}))  # it lives
        due = [one for one in self.after if one[0] <= self.clock.monotonic_s()]
        self.after = [one for one in self.after if one not in due]
        for _, act in due:
            act()


def at_once(event: Posted) -> None:
    assert isinstance(event, Asked)
    event.answer()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(sources: list[Source], answer: Answer = proper, **more: Any) -> Rig:
        rigs.append(Rig(tmp_path, sources, answer, **more))
        return rigs[-1]

    yield make
    for one in rigs:
        one.bus.close()


def test_a_camera_that_is_down_at_the_start_is_tried_until_it_is_there(rig: Callable[..., Rig]) -> None:
    tries = 40

    def answer(children: Scripted, child: int, message: Message) -> None:
        match message:
            case Open():
                children.say(child, gone("door"))
            case Reopen() if len(one.told(Reopen)) < tries:
                children.say(child, gone("door"))
            case Reopen():
                children.say(child, live("door"), ticked("door"))
                one.at(one.clock.monotonic_s() + 1.0, one.supervisor.interrupt)
            case _:
                proper(children, child, message)

    one = rig([CAMERA], answer)
    outcome = one.run()
    [order] = one.told(Open)
    assert order.reopen
    assert len(one.told(Reopen)) == tries
    assert (states(outcome), outcome.interrupted) == ({"door": "interrupted"}, True)
    (away, wrong), (back, _) = one.said  # a sentence for each change, not for each try
    assert (away, wrong) == ("door is away (unreachable). It is tried again.", False)
    assert back.startswith("door: live after ")


@pytest.mark.parametrize(
    ("kind", "goes_on"), [("rtsp", True), ("hls", True), ("page", True), ("file", False), ("testsrc", False)]
)
def test_what_goes_on_while_nobody_looks_is_opened_again_and_files_end(
    rig: Callable[..., Rig], kind: Kind, goes_on: bool
) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        match message:
            case Open():
                end = gone("a", "ended", True) if message.reopen else ended("a", mode="live")
                children.say(child, live("a"), ticked("a"), end)
            case Reopen():
                one.supervisor.interrupt()
            case _:
                proper(children, child, message)

    one = rig([Source("a", "x", kind, "live")], answer)
    outcome = one.run()
    assert len(one.told(Reopen)) == goes_on
    assert states(outcome) == {"a": "interrupted" if goes_on else "done"}


def test_a_stream_whose_child_died_is_claimed_again_and_goes_on(rig: Callable[..., Rig]) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, live("door"), ticked("door"))
            if len(one.told(Open)) == 1:
                children.die(child)
            else:
                one.at(one.clock.monotonic_s() + 1.0, one.supervisor.interrupt)
        else:
            proper(children, child, message)

    one = rig([CAMERA], answer)
    one.run()
    first, second = one.told(Open)
    assert second.epoch > first.epoch
    assert (first.restarts, second.restarts) == (0, 1)


def test_a_camera_that_kills_its_process_again_and_again_is_tried_again_later(rig: Callable[..., Rig]) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, live("door"))
            children.die(child, -11)
            if len(one.told(Open)) == 12:
                one.supervisor.interrupt()
        else:
            proper(children, child, message)

    one = rig([CAMERA], answer)
    outcome = one.run()
    assert len(one.told(Open)) == 12
    assert outcome.fatal is None


def test_claims_that_fail_later_are_made_again(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = claims.claim, iter([False, True, True, False])

    def claim(*arguments: Any) -> Any:
        if next(failures):
            raise BusUnavailable("away")
        return real(*arguments)

    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, live("door"))
            if len(one.told(Open)) == 1:
                children.die(child)
            else:
                one.supervisor.interrupt()
        else:
            proper(children, child, message)

    monkeypatch.setattr(supervisor_module, "claim", claim)
    one = rig([CAMERA], answer)
    assert one.run().fatal is None
    assert len(one.told(Open)) == 2


def test_a_bus_that_is_away_at_the_start_ends_the_run(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise BusUnavailable("away")

    monkeypatch.setattr(supervisor_module, "claim", away)
    assert isinstance(rig([CAMERA]).run().fatal, BusUnavailable)


# -- what cannot work -----------------------------------------------------------------------------------------------


def missing(children: Scripted, child: int, message: Message) -> None:
    if isinstance(message, Open | Reopen):
        children.say(child, gone(message.work, "missing"))
    else:
        proper(children, child, message)


def test_a_run_of_nothing_but_wrong_addresses_says_so_at_once_tries_on_and_ends(rig: Callable[..., Rig]) -> None:
    one = rig([CAMERA, OTHER], missing)
    begun_s = one.clock.monotonic_s()
    outcome = one.run()
    assert states(outcome) == {"door": "failed", "lobby": "failed"}
    assert {result.cause for result in outcome.results} == {"missing"}
    assert not outcome.interrupted
    assert outcome.fatal is None
    assert sorted(one.said) == [
        ("door is away (missing). It is tried again.", True),
        ("lobby is away (missing). It is tried again.", True),
    ]
    assert PATIENCE_S <= one.clock.monotonic_s() - begun_s < PATIENCE_S + 5
    assert 6 <= len(one.told(Reopen)) <= 60  # a server may just be starting


@pytest.mark.parametrize("which", ["another is there", "another is away for now", "it gave frames once", "controlled"])
def test_a_run_goes_on_where_there_is_hope(rig: Callable[..., Rig], which: str) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        work = getattr(message, "work", "")
        if isinstance(message, Open | Reopen) and work == "lobby":
            children.say(child, live(work) if which == "another is there" else gone(work))
        elif isinstance(message, Open) and which == "it gave frames once":
            children.say(child, live(work), gone(work, "missing", True))
        else:
            missing(children, child, message)

    sources = [CAMERA, OTHER] if which.startswith("another") else [CAMERA]
    one = rig(sources, answer, controlled=which == "controlled")
    one.at(1000.0, one.supervisor.interrupt)
    begun_s = one.clock.monotonic_s()
    outcome = one.run()
    assert outcome.interrupted
    assert one.clock.monotonic_s() - begun_s >= 1000.0
    tries = [message for message in one.told(Reopen) if message.work == "door"]
    assert len(tries) < 50  # in 1000 s: what somebody has to put right is tried rarely


def test_a_wrong_camera_beside_files_fails_when_they_are_done(rig: Callable[..., Rig]) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open) and message.mode == "archive":
            children.say(child, opened("film"), ended("film"))
        else:
            missing(children, child, message)

    outcome = rig([CAMERA, Source("film", "/film.mp4", "file", "archive")], answer).run()
    assert states(outcome) == {"door": "failed", "film": "done"}


# -- what is asked of a run while it goes on ------------------------------------------------------------------------


def test_streams_come_change_pause_and_go_while_a_run_goes_on(rig: Callable[..., Rig]) -> None:
    one = rig([], controlled=True)
    seen: list[str] = []

    def look() -> None:
        seen.append(one.state("yard"))

    wish = Wish(source="testsrc://64x48@5", sample_fps=2.0, priority=3)
    one.at(1, lambda: seen.append(one.control.put("yard", wish)))
    one.at(2, look)
    one.at(3, lambda: seen.append(one.control.change("yard", ChangeWish(sample_fps=1.0, keyframes_only=True))))
    one.at(4, lambda: one.control.change("yard", ChangeWish(paused=True)))
    one.at(5, look)
    one.at(6, lambda: one.control.change("yard", ChangeWish(paused=False)))
    one.at(7, look)
    one.at(8, lambda: seen.append(one.control.put("yard", Wish(source="testsrc://32x32@5"))))
    one.at(9, look)
    one.at(10, lambda: seen.append(one.control.remove("yard")))
    one.at(11, one.supervisor.interrupt)
    outcome = one.run()
    assert seen == ["added", "live", "changed", "paused", "live", "replaced", "live", "removed"]
    first, second, third = one.told(Open)
    assert (first.tuning, first.reopen) == (Tuning(sample_fps=2.0, priority=3), True)
    changed = Tuning(sample_fps=1.0, keyframes_only=True, priority=3)
    assert one.told(Change) == [Change(work="yard", tuning=changed)]
    assert (second.tuning, third.url) == (changed, b"testsrc://32x32@5")
    assert first.epoch < second.epoch < third.epoch
    assert [message.how for message in one.told(Release)] == ["hand_over", "close", "close"]
    assert states(outcome) == {"yard": "done"}
    assert not outcome.interrupted  # nothing was left undone


def test_a_paused_stream_says_so_on_the_bus_in_the_table_and_to_who_asks(rig: Callable[..., Rig]) -> None:
    one = rig([CAMERA], controlled=True)
    seen: list[tuple[str, str, str | None]] = []

    def look() -> None:
        [shown] = one.control.streams()
        seen.append((one.rows["door"], shown.state, shown.cause))

    one.at(1, lambda: one.children.say(0, gone("door", was_open=True)))  # what was wrong before is not why it waits
    one.at(2, lambda: one.control.change("door", ChangeWish(paused=True)))
    one.at(4, look)
    one.at(24, lambda: one.control.change("door", ChangeWish(paused=False)))
    one.at(26, look)
    one.at(60, one.supervisor.interrupt)
    one.run()
    assert seen == [("paused", "paused", None), ("live", "live", None)]
    told = one.statuses("door")
    assert [(status.state, status.seq, status.cause) for status in told] == [("paused", n, None) for n in range(3)]
    first, second = one.told(Open)
    assert {status.epoch for status in told} == {told[0].epoch}
    assert first.epoch < told[0].epoch < second.epoch  # each under a claim of its own
    assert {status.run for status in told} == {one.supervisor.control.run}


def test_that_a_stream_is_paused_is_told_when_the_bus_is_back(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    append, refusals = SqliteProducer.append, [BusUnavailable("away")] * 2

    def moody(self: Producer, *arguments: Any) -> Any:
        if one.told(Release) and refusals:
            raise refusals.pop()
        return append(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteProducer, "append", moody)
    one = rig([CAMERA], controlled=True)
    one.at(1, lambda: one.control.change("door", ChangeWish(paused=True)))
    one.at(9, lambda: one.control.remove("door"))
    one.at(15, one.supervisor.interrupt)
    assert one.run().fatal is None
    assert [status.state for status in one.statuses("door")] == []
    one = rig([OTHER], controlled=True)
    refusals.extend([BusUnavailable("away")] * 2)
    one.at(1, lambda: one.control.change("lobby", ChangeWish(paused=True)))
    one.at(15, one.supervisor.interrupt)
    assert one.run().fatal is None
    assert [status.state for status in one.statuses("lobby")] == ["paused"]


def test_a_stream_of_the_command_line_may_be_paused_whatever_its_kind_is(rig: Callable[..., Rig]) -> None:
    webcam = Source("desk", "/dev/video0", "webcam", "live")  # others may not ask for one
    one = rig([webcam], controlled=True)
    one.at(1, lambda: one.control.change("desk", ChangeWish(paused=True)))
    one.at(2, lambda: one.control.change("desk", ChangeWish(paused=False)))
    one.at(3, one.supervisor.interrupt)
    one.run()
    assert [message.url for message in one.told(Open)] == [b"/dev/video0"] * 2


def test_what_cannot_be_followed_changes_nothing(rig: Callable[..., Rig]) -> None:
    one = rig([CAMERA, Source("film", "/film.mp4", "file", "archive")], controlled=True)
    failures: list[Exception] = []

    def fails(ask: Callable[[], Any]) -> None:
        with pytest.raises(StreamerError) as caught:
            ask()
        failures.append(caught.value)

    def ask() -> None:
        fails(lambda: one.control.put("yard", Wish(source="gopher://u:geheim@x")))
        fails(lambda: one.control.put("yard", Wish(source="testsrc://64x48", sample_fps=-1)))
        fails(lambda: one.control.put("yard", Wish(source="testsrc://64x48", model="nothing")))
        fails(lambda: one.control.change("door", ChangeWish(source="0")))  # a webcam
        fails(lambda: one.control.change("nobody", ChangeWish(paused=True)))
        fails(lambda: one.control.remove("nobody"))
        fails(lambda: one.control.remove("film"))

    one.at(1, ask)
    one.at(2, one.supervisor.interrupt)
    one.run()
    assert [type(error) for error in failures] == [NotFollowed] * 4 + [Unknown] * 2 + [NotChangeable]
    assert not any("geheim" in str(error) for error in failures)
    assert {message.work for message in one.told(Open)} == {"door", "film"}
    assert one.told(Release) == []


def test_a_stream_that_is_removed_while_its_child_dies_is_gone(rig: Callable[..., Rig]) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Release):
            children.die(child)
        else:
            proper(children, child, message)

    one = rig([CAMERA], answer, controlled=True)
    one.at(1, lambda: one.control.remove("door"))
    one.at(3, one.supervisor.interrupt)
    outcome = one.run()
    assert states(outcome) == {"door": "done"}
    assert len(one.told(Open)) == 1


def test_models_that_a_request_asked_for_cost_only_its_stream(rig: Callable[..., Rig]) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        start = next(m for n, m in reversed(children.told) if isinstance(m, Start) and n == child)
        if isinstance(message, Open) and start.config.models.expression == "fer":
            children.say(child, Fatal(cause="model", message="no such weights here"))
            children.die(child, 1)
        else:
            proper(children, child, message)

    one = rig([CAMERA], answer, controlled=True)
    one.at(1, lambda: one.control.put("yard", Wish(source="testsrc://64x48", model="fer")))
    shown: list[Any] = []
    one.at(2, lambda: shown.extend(one.control.streams()))
    one.at(3, one.supervisor.interrupt)
    outcome = one.run()
    assert outcome.fatal is None
    assert {stream.stream: stream.state for stream in shown} == {"door": "live", "yard": "backing_off"}
    assert [stream.message for stream in shown] == [None, "no such weights here"]


def test_addresses_are_shown_without_their_secrets(rig: Callable[..., Rig]) -> None:
    one = rig([Source("door", "rtsp://admin:geheim@cam/1", "rtsp", "live")], controlled=True)
    shown: list[Any] = []
    one.at(1, lambda: shown.extend(one.control.streams()))
    one.at(2, one.supervisor.interrupt)
    one.run()
    assert [stream.source for stream in shown] == ["rtsp://***@cam/1"]


def test_the_loop_looks_after_questions_of_other_threads(rig: Callable[..., Rig]) -> None:
    one = rig([], controlled=True)
    answers: list[str] = []
    one.children.waiting.append(Asked(lambda: answers.append("answered")))
    one.at(1, one.supervisor.interrupt)
    one.run()
    assert answers == ["answered"]


def test_ended_is_told_apart_from_let_go(rig: Callable[..., Rig]) -> None:
    """A finite stream that was added ends for good; the run stays to be asked for more."""

    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            done = Ended(work="a", run="r", result=ended("a", mode="live").result)
            children.say(child, live("a"), ticked("a", 7), done)
        else:
            proper(children, child, message)

    one = rig([], answer, controlled=True)
    one.at(1, lambda: one.control.put("a", Wish(source="testsrc://64x48?duration=1")))
    seen: list[str] = []
    one.at(2, lambda: seen.append(one.state("a")))
    one.at(3, lambda: seen.append(one.control.put("a", Wish(source="testsrc://64x48?duration=1"))))
    one.at(5, one.supervisor.interrupt)
    assert states(one.run()) == {"a": "done"}
    assert seen == ["done", "replaced"]
    assert len(one.told(Open)) == 2
