"""The supervisor with children that do what a test says."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import topics
from streamer.clock import FakeClock
from streamer.config import Config, WorkerSettings
from streamer.errors import BusFull, BusUnavailable, ModelError
from streamer.messages import RunRecord, SourceResult, decode
from streamer.source import Source
from streamer.worker.children import Children, Died, Event, Said
from streamer.worker.crew import HUNG_AFTER_S
from streamer.worker.link import (
    Drain,
    Drained,
    Ended,
    Fatal,
    FromChild,
    Message,
    Open,
    Opened,
    Ready,
    Start,
    Stop,
    StreamTick,
    Tick,
)
from streamer.worker.runs import RunBook
from streamer.worker.supervisor import RunOutcome, Supervisor
from tests.unit.worker.rig import config_for

Answer = Callable[["Scripted", int, Message], None]


class Scripted(Children):
    """Children whose answers are a function; time passes only where nothing happens."""

    def __init__(self, answer: Answer, clock: FakeClock) -> None:
        super().__init__()
        self.answer = answer
        self.clock = clock
        self.living: set[int] = set()
        self.started: list[int] = []
        self.told: list[tuple[int, Message]] = []
        self.waiting: list[Event] = []
        self.killed: list[int] = []
        self.immortal = False

    def __contains__(self, number: int) -> bool:
        return number in self.living

    def __len__(self) -> int:
        return len(self.living)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.living))

    def start(self, start: Start) -> int:
        self.living.add(start.child)
        self.started.append(start.child)
        self.tell(start.child, start)
        return 1

    def tell(self, number: int, message: Message) -> None:
        if number in self.living:
            self.told.append((number, message))
            self.answer(self, number, message)

    def say(self, number: int, *messages: FromChild) -> None:
        self.waiting += [Said(number, message) for message in messages]

    def die(self, number: int, exit_code: int = -9) -> None:
        self.waiting.append(Died(number, exit_code))

    def kill(self, number: int) -> None:
        self.killed.append(number)
        if not self.immortal:
            self.die(number)

    def wake(self) -> None:
        pass

    def next_event(self, timeout_s: float) -> Event | None:
        if not self.waiting:
            self.clock.advance(timeout_s)
            return None
        event = self.waiting.pop(0)
        if isinstance(event, Died):
            self.living.discard(event.child)
        return event


READY = Ready(precision="fp32", device="none", load_s=0.1)


def opened(stream: str, run: str = "r", **more: Any) -> Opened:
    facts: dict[str, Any] = {
        "session": "s",
        "mode": "archive",
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "duration_s": 4.0,
    } | more
    return Opened(work=stream, run=run, **facts)


def ended(stream: str, run: str = "r", already_done: bool = False, **more: Any) -> Ended:
    facts: dict[str, Any] = {"state": "done", "mode": "archive", "session": "s", "analysed": 100} | more
    return Ended(
        work=stream, run=run, result=SourceResult(stream=stream, source="", **facts), already_done=already_done
    )


def tick(stream: str, analysed: int, **more: Any) -> Tick:
    facts: dict[str, Any] = {
        "media_time_s": analysed / 25,
        "faces_now": 1,
        "decoded": analysed,
        "faces": 1,
        "records": 1,
    }
    one = StreamTick(work=stream, analysed=analysed, corrupt_packets=0, dropped={"queue_full": 2}, **facts)
    return Tick(streams=(one,), published=more.pop("published", 1), stage_s=more)


def good(children: Scripted, child: int, message: Message) -> None:
    """A child that does what it should."""
    match message:
        case Start():
            children.say(child, READY)
        case Open():
            name = message.stream
            children.say(child, opened(name, f"r-{name}"), ended(name, f"r-{name}"))
        case Drain():
            children.say(child, Drained())
            children.die(child, 0)
        case Stop():
            children.die(child, 0)
        case _:
            pass


class Rig:
    def __init__(
        self, folder: Path, names: str, answer: Answer, run: str | None = None, mode: Any = "archive", **worker: int
    ) -> None:
        self.config = msgspec.structs.replace(
            config_for(folder), worker=msgspec.convert({"children": 2} | worker, WorkerSettings)
        )
        self.clock = FakeClock()
        self.children = Scripted(answer, self.clock)
        self.bus: Bus = open_bus(self.config.bus)
        sources = [Source(name, f"/{name}.mp4", "file", mode) for name in names]
        self.shown: list[str] = []
        self.supervisor = Supervisor(
            self.config,
            sources,
            self.bus,
            run=run,
            clock=self.clock,
            children=self.children,
            show=lambda rows: self.shown.extend(f"{row.stream} {row.state}" for row in rows),
        )

    def run(self) -> RunOutcome:
        return self.supervisor.run()

    def opens(self, child: int | None = None) -> list[str]:
        return [
            message.stream
            for number, message in self.children.told
            if isinstance(message, Open) and child in (None, number)
        ]

    def record(self, run: str) -> RunRecord:
        topic = topics(self.config.topics).runs.name
        [found] = [one.value for key, one in self.bus.latest(topic, 0).items() if key == run.encode()]
        assert found is not None
        return decode(found, RunRecord)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(names: str, answer: Answer, **more: Any) -> Rig:
        rigs.append(Rig(tmp_path, names, answer, **more))
        return rigs[-1]

    yield make
    for one in rigs:
        one.bus.close()


MakeRig = Callable[..., Rig]


def states(outcome: RunOutcome) -> dict[str, str]:
    return {result.stream: result.state for result in outcome.results}


def test_every_source_is_done_and_the_children_are_let_go(rig: MakeRig) -> None:
    one = rig("abc", good)
    outcome = one.run()
    assert states(outcome) == {"a": "done", "b": "done", "c": "done"}
    assert (outcome.interrupted, outcome.fatal, outcome.runs) == (False, None, ("r-a", "r-b", "r-c"))
    assert [message for _, message in one.children.told][-2:] == [Stop(), Stop()]
    assert (len(one.children), one.children.killed) == (0, [])
    assert one.record("r-b").sources[0].source == "/b.mp4"


def test_a_poisonous_stream_is_given_up_with_a_sentence_and_the_others_complete(rig: MakeRig) -> None:
    """Whoever has it dies; those that share a child with it go on elsewhere."""

    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            company = [m.stream for n, m in children.told if isinstance(m, Open) and n == child]
            children.say(child, opened(message.stream, f"r-{message.stream}"))
            if message.stream == "p":
                children.die(child, -11)
            elif "p" not in company:
                children.say(child, ended(message.stream, f"r-{message.stream}"))
        else:
            good(children, child, message)

    def answering(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Start):  # a new process of that number has no company yet
            children.told = [(n, m) for n, m in children.told if n != child]
        answer(children, child, message)

    one = rig("apbc", answering, children=1, max_restarts=3)
    outcome = one.run()
    assert states(outcome) == {"a": "done", "p": "failed", "b": "done", "c": "done"}
    [poison] = [result for result in outcome.results if result.state == "failed"]
    assert (poison.cause, poison.restarts) == ("child_died", 3)
    assert poison.message is not None
    assert poison.message.startswith("given up: its worker process died 4 times on it; ")
    assert one.record("r-p").state == "failed"
    assert (outcome.fatal, outcome.interrupted) == (None, False)


def test_a_child_that_dies_is_replaced_and_its_stream_opened_again(rig: MakeRig) -> None:
    deaths = iter([True, False])

    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open) and next(deaths):
            children.say(child, opened("a"), tick("a", 10, detect=2.0))
            children.die(child)
        elif isinstance(message, Open):
            children.say(child, opened("a", resumed_at_s=0.4), tick("a", 30, detect=1.0), ended("a"))
        else:
            good(children, child, message)

    one = rig("a", answer)
    outcome = one.run()
    assert [m.restarts for _, m in one.children.told if isinstance(m, Open)] == [0, 1]
    assert outcome.results[0].restarts == 1
    assert outcome.stage_s == {"detect": 3.0}
    assert outcome.first_record_s is not None


def test_work_that_was_finished_but_not_reported_ends_well_and_is_written_down(rig: MakeRig) -> None:
    """The child dies between its last commit and saying so; the next one finds the work done."""
    deaths = iter([True, False])

    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            if next(deaths):
                children.say(child, opened("a"))
                children.die(child)
            else:
                children.say(child, ended("a", already_done=True))
        else:
            good(children, child, message)

    one = rig("a", answer)
    outcome = one.run()
    assert states(outcome) == {"a": "done"}
    assert (one.record("r").state, one.record("r").sources[0].analysed) == ("done", 100)


def test_sources_of_an_earlier_invocation_stay_in_the_run(tmp_path: Path, rig: MakeRig) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, opened(message.stream, "mine"), ended(message.stream, "mine"))
        else:
            good(children, child, message)

    rig("ab", answer, run="mine").run()
    second = rig("c", answer, run="mine")
    second.run()
    assert [source.stream for source in second.record("mine").sources] == ["a", "b", "c"]


def test_a_source_that_could_not_be_opened_is_in_the_run_that_was_named(rig: MakeRig) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, ended("a", "mine", state="failed", cause="missing", message="gone"))
        else:
            good(children, child, message)

    one = rig("a", answer, run="mine")
    assert states(one.run()) == {"a": "failed"}
    assert one.record("mine").sources[0].cause == "missing"


def test_children_that_never_get_ready_are_an_error_of_the_machine(rig: MakeRig) -> None:
    one = rig("abcdef", lambda children, child, message: children.die(child, 1) if isinstance(message, Start) else None)
    outcome = one.run()
    assert isinstance(outcome.fatal, ModelError)
    assert "streamer doctor" in str(outcome.fatal)
    assert len(one.children) == 0


@pytest.mark.parametrize(
    ("cause", "kind"), [("disk_full", BusFull), ("bus_unavailable", BusUnavailable), ("model", ModelError)]
)
def test_what_no_child_could_do_better_ends_the_run(rig: MakeRig, cause: str, kind: type[Exception]) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, opened("a"), Fatal(cause=cause, message="because"))
            children.die(child, 1)
        else:
            good(children, child, message)

    one = rig("a", answer)
    outcome = one.run()
    assert type(outcome.fatal) is kind
    assert str(outcome.fatal) == "because"
    assert one.record("r").sources[0].message == "because"
    assert len(one.children) == 0


def test_a_child_that_says_nothing_is_replaced(rig: MakeRig, capfd: pytest.CaptureFixture[str]) -> None:
    hangs = iter([True, False])

    def answer(children: Scripted, child: int, message: Message) -> None:
        if not (isinstance(message, Open) and next(hangs)):
            good(children, child, message)

    one = rig("a", answer)
    outcome = one.run()
    assert states(outcome) == {"a": "done"}
    assert one.children.killed == [0]
    assert HUNG_AFTER_S < outcome.wall_s < HUNG_AFTER_S + 60
    assert "child.hung" in capfd.readouterr().err


def test_children_that_do_not_leave_are_killed(rig: MakeRig) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if not isinstance(message, Stop):
            good(children, child, message)

    one = rig("a", answer, drain_timeout_s=7)
    outcome = one.run()
    assert states(outcome) == {"a": "done"}
    assert (one.children.killed, len(one.children)) == ([0], 0)
    assert outcome.wall_s == pytest.approx(7.0)


def test_a_child_that_cannot_even_be_killed_holds_nobody_up_for_ever(
    rig: MakeRig, capfd: pytest.CaptureFixture[str]
) -> None:
    one = rig(
        "a", lambda children, child, message: None if isinstance(message, Stop) else good(children, child, message)
    )
    one.children.immortal = True
    assert states(one.run()) == {"a": "done"}
    assert "child.immortal" in capfd.readouterr().err


def test_interrupted_it_drains_and_writes_down_how_far_it_was(rig: MakeRig) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, opened(message.stream, "mine"), tick(message.stream, 10))
            one.supervisor.interrupt()
        elif isinstance(message, Drain):
            children.say(child, ended("a", "mine", state="interrupted", analysed=12), Drained())
            children.die(child, 0)
        else:
            good(children, child, message)

    one = rig("ab", answer, run="mine", children=1, streams_per_child=1)
    outcome = one.run()
    assert outcome.interrupted
    assert states(outcome) == {"a": "interrupted", "b": "interrupted"}
    record = one.record("mine")
    assert record.state == "interrupted"
    assert {source.stream: source.analysed for source in record.sources} == {"a": 12, "b": 0}


@pytest.mark.parametrize("impatient", [True, False])
def test_a_drain_ends_by_its_deadline_or_the_second_interrupt(rig: MakeRig, impatient: bool) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, opened("a"))
            one.supervisor.interrupt()
        elif isinstance(message, Drain):
            if impatient:
                children.say(child, tick("a", 10))
                one.clock.advance(1.0)
                one.supervisor.interrupt()
        else:
            good(children, child, message)

    one = rig("a", answer, drain_timeout_s=9)
    outcome = one.run()
    assert states(outcome) == {"a": "interrupted"}
    assert one.children.killed == [0]
    assert outcome.wall_s == pytest.approx(1.0 if impatient else 9.0)
    assert one.record("r").state == "interrupted"


def test_an_interrupt_that_comes_when_all_is_done_changes_nothing(rig: MakeRig) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Stop):
            one.supervisor.interrupt()
        else:
            good(children, child, message)

    one = rig("a", answer)
    outcome = one.run()
    assert (states(outcome), outcome.interrupted) == ({"a": "done"}, False)
    assert one.children.killed == [0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_drain_and_are_given_back(rig: MakeRig, number: signal.Signals) -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(number)

    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, opened("a"))
            os.kill(os.getpid(), number)
        else:
            good(children, child, message)

    one = rig("a", answer)
    outcome = one.run()
    assert (outcome.interrupted, outcome.results[0].state) == (True, "interrupted")
    assert signal.getsignal(number) is before


def test_a_bus_that_fails_at_the_end_is_told(rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise BusFull("no space")

    monkeypatch.setattr(RunBook, "close", full)
    outcome = rig("a", good).run()
    assert isinstance(outcome.fatal, BusFull)
    assert states(outcome) == {"a": "done"}


def test_progress_shows_speed_and_the_end(rig: MakeRig) -> None:
    def answer(children: Scripted, child: int, message: Message) -> None:
        if isinstance(message, Open):
            children.say(child, opened("a"), tick("a", 0))
        else:
            good(children, child, message)

    one = rig("a", answer)
    view = one.supervisor._streams["a"]
    seen: list[tuple[float, float, int]] = []

    def show(rows: object) -> None:
        if view.progress.state == "running":
            seen.append((view.progress.fps, view.progress.speed, view.progress.dropped))
            if len(seen) == 1:
                one.clock.advance(2.0)
                one.children.say(0, tick("a", 100))
            if view.progress.fps:
                one.children.say(0, ended("a"))

    one.supervisor._show = show
    one.run()
    fps, speed, dropped = next(one for one in seen if one[0])
    assert 30 < fps <= 50
    assert speed == pytest.approx(fps / 25)
    assert dropped == 2
    assert (view.progress.state, view.progress.fps) == ("done", 0.0)


def test_the_configuration_children_get_holds_no_addresses(rig: MakeRig) -> None:
    one = rig("a", good)
    one.run()
    [start] = [message for _, message in one.children.told if isinstance(message, Start)]
    assert start.config == msgspec.structs.replace(
        Config(), bus=start.config.bus, checkpoint=start.config.checkpoint, worker=start.config.worker
    )
    assert start.config.sources == ()


@pytest.mark.parametrize(
    ("names", "mode", "cores", "hands"),
    [("a", "archive", 1, 0), ("a", "archive", 4, 3), ("ab", "archive", 5, 1), ("abc", "archive", 2, 0),
     ("a", "archive", 64, 6), ("a", "live", 4, 0)],
)  # fmt: skip
def test_cores_that_no_file_has_are_hands_of_the_children(
    rig: MakeRig, names: str, mode: str, cores: int, hands: int
) -> None:
    one = rig(names, good, mode=mode, children=cores)
    one.run()
    starts = [message for _, message in one.children.told if isinstance(message, Start)]
    assert starts
    assert {start.hands for start in starts} == {hands}
