"""A worker of the fleet on a real bus, with children that are functions. The fixture `rig` begins workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming, Outgoing
from streamer.bus.read import drain
from streamer.bus.topics import content_type, topics
from streamer.config import Config, FleetSettings, SpoolSettings, TopicSettings, WorkerSettings
from streamer.messages import (
    Job,
    JobState,
    JobStatus,
    RunState,
    SourceResult,
    Status,
    StreamDefinition,
    decode,
)
from streamer.wishes import records
from streamer.worker.children import Children, Died, Said
from streamer.worker.fleet_worker import FleetWorker
from streamer.worker.link import (
    Ended,
    FromChild,
    Message,
    Open,
    Opened,
    Ready,
    Release,
    Start,
    Stop,
)
from streamer.worker.spools import Spools

WITHIN_S = 20.0


class Actors(Children):
    """Children that are a function of what they are told, by default one that does what it should."""

    def __init__(self, answer: Callable[[Actors, int, Message], None]) -> None:
        super().__init__()
        self.answer = answer
        self.living: set[int] = set()
        self.told: list[tuple[int, Message]] = []
        self.starts: list[Start] = []

    def __contains__(self, number: int) -> bool:
        return number in self.living

    def __len__(self) -> int:
        return len(self.living)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.living))

    def start(self, start: Start) -> int:
        self.living.add(start.child)
        self.starts.append(start)
        self.tell(start.child, start)
        return 1

    def tell(self, number: int, message: Message) -> None:
        if number in self.living:
            self.told.append((number, message))
            self.answer(self, number, message)

    def say(self, number: int, message: FromChild) -> None:
        self._events.put(Said(number, message))

    def die(self, number: int, exit_code: int = -9) -> None:
        self.living.discard(number)
        self._events.put(Died(number, exit_code))

    def kill(self, number: int) -> None:
        self.die(number)

    def next_event(self, timeout_s: float) -> Any:
        try:
            return self._events.get(timeout=timeout_s)
        except Exception:
            return None

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for _, message in self.told if isinstance(message, kind)]


def ended(
    work: str,
    state: RunState = "interrupted",
    cause: str | None = None,
    job_state: JobState | None = None,
    already_done: bool = False,
) -> Ended:
    result = SourceResult(stream=work, source="", state=state, mode="live", cause=cause, message=cause)
    return Ended(work=work, run="r", result=result, job_state=job_state, already_done=already_done)


def good(children: Actors, child: int, message: Message) -> None:
    match message:
        case Start():
            children.say(child, Ready(precision="fp32", device="none", load_s=0.1))
        case Open():
            facts: dict[str, Any] = {"session": "s", "mode": message.mode, "width": 64, "height": 48, "fps": 25.0}
            children.say(child, Opened(work=message.work, run="r", duration_s=None, **facts))
        case Release():
            children.say(child, ended(message.work))
        case Stop():
            children.die(child, 0)


@dataclass
class Rig:
    """A worker on a thread of its own."""

    config: Config
    children: Actors
    worker: FleetWorker
    thread: threading.Thread
    spools: Spools
    failures: list[BaseException] = field(default_factory=list)

    def write(self, *out: Outgoing) -> None:
        bus = open_bus(self.config.bus)
        producer = bus.producer()
        producer.send(list(out))
        producer.flush(WITHIN_S)
        bus.close()

    def add(self, stream: str, **more: Any) -> None:
        facts: dict[str, Any] = {"source": "testsrc://64x48@5"} | more
        self.write(records.stream_definition(StreamDefinition(stream=stream, **facts), self.config.topics))

    def submit(self, job: str, partition: int = 3, **more: Any) -> None:
        facts: dict[str, Any] = {"batch": "b", "stream": "clip", "source": "/videos/clip.mp4"} | more
        self.write(records.job(Job(job=job, **facts), partition, self.config.topics))

    def on(self, topic: str, kind: type[Any]) -> list[Any]:
        bus = open_bus(self.config.bus, create=False)
        try:
            return [
                decode(one.value, kind, content_type(one.headers))
                for one in drain(bus, [topic])
                if one.value is not None and not one.key.endswith((b"/claim", b"/cancel"))
            ]
        finally:
            bus.close()

    def statuses(self, stream: str) -> list[Status]:
        name = topics(self.config.topics).status.name
        return [one for one in self.on(name, Status) if one.stream == stream]

    def job_statuses(self, job: str) -> list[JobStatus]:
        name = topics(self.config.topics).jobs_status.name
        return [one for one in self.on(name, JobStatus) if one.job == job]

    def latest(self, topic: str, partition: int) -> dict[bytes, Incoming]:
        bus = open_bus(self.config.bus, create=False)
        try:
            return bus.latest(topic, partition)
        finally:
            bus.close()

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline_s = time.monotonic() + WITHIN_S
        while not (found := condition()):
            assert self.thread.is_alive() or self.failures == [], self.failures
            assert time.monotonic() < deadline_s, f"not in {WITHIN_S} s: {what}; told {self.children.told}"
            time.sleep(0.02)
        return found

    def opens(self, work: str) -> list[Open]:
        return [message for message in self.children.of(Open) if message.work == work]

    def releases(self, work: str) -> list[str]:
        return [message.how for message in self.children.of(Release) if message.work == work]


def rigs(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """What begins workers, all on one bus; they are ended afterwards. `wrap` stands between a worker and the bus."""
    running: list[Rig] = []
    opened: list[Bus] = []

    def begin(
        answer: Callable[[Actors, int, Message], None] = good,
        name: str = "w",
        children: int = 1,
        wrap: Callable[[Bus], Any] = lambda bus: bus,
        drain_s: float = 5.0,
        **fleet: Any,
    ) -> Rig:
        config = Config(
            bus=f"sqlite:///{tmp_path / 'bus.db'}",
            topics=TopicSettings(partitions=4),
            worker=WorkerSettings(children=children, streams_per_child=4, drain_timeout_s=drain_s),
            fleet=msgspec.convert({"session_timeout_s": 6.0} | fleet, FleetSettings),
        )
        bus = open_bus(config.bus)
        opened.append(bus)
        spools = Spools(SpoolSettings(folder=str(tmp_path / "spool")), name, enabled=False)
        actors = Actors(answer)
        worker = FleetWorker(config, wrap(bus), name, spools, children=actors)
        thread = threading.Thread(target=lambda: run(made), daemon=True)
        made = Rig(config, actors, worker, thread, spools)
        thread.start()
        running.append(made)
        made.wait(lambda: worker._memberships.keys(), "the worker joins")
        return made

    def run(made: Rig) -> None:
        try:
            made.worker.run()
        except BaseException as error:
            made.failures.append(error)

    yield begin
    for made in running:
        made.worker.interrupt()
        made.thread.join(20)
        made.spools.close()
        assert not made.thread.is_alive(), "the worker does not end"
    for bus in opened:
        bus.close()
