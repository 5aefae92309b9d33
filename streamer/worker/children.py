"""The child processes of one machine: start, talk, notice death, end."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from streamer import log
from streamer.errors import WorkerNotStarted
from streamer.worker.link import FromChild, Link, LinkClosed, Message, Start

_THREAD_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LEAVES_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """A child said something."""

    child: int
    message: FromChild


@dataclass(frozen=True, slots=True)
class Died:
    """A child's pipe is closed; `exit_code` is negative for a signal, as subprocess gives it."""

    child: int
    exit_code: int


@dataclass(frozen=True, slots=True)
class Woken:
    """Nothing happened; somebody wanted the loop to look around."""


class Posted:
    """Base of what other threads of the supervisor have to tell its loop."""

    __slots__ = ()


Event = Said | Died | Woken | Posted


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    link: Link


class Children:
    """Numbered child processes, one reader thread each; everything they do comes out of `next_event`.

    Leaving it as a context ends what was begun and never started; of started ones the owner has to see the end.
    """

    program = "streamer.worker.child"

    def __init__(self) -> None:
        self._begun: list[subprocess.Popen[bytes]] = []
        self._children: dict[int, _Child] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __contains__(self, number: int) -> bool:
        return number in self._children

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._children))

    @property
    def unburied(self) -> bool:
        """Whether a child has ended whose death is still to come out of `next_event`."""
        return any(child.process.poll() is not None for child in self._children.values())

    def begin(self) -> None:
        """Have a process load what any child needs, before it is known what it is to do; `start` takes it first."""
        try:
            self._begun.append(self._spawn())
        except WorkerNotStarted:
            pass  # `start` says so, if it is so still

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._begun:
            process = self._begun.pop()
            process.kill()
            process.communicate()

    @property
    def pids(self) -> dict[int, int]:
        """The process of each child. Any thread may ask."""
        return {number: child.process.pid for number, child in tuple(self._children.items())}

    def start(self, start: Start) -> int:
        """Start child `start.child` and return its process id. Raises `WorkerNotStarted`."""
        process = self._begun.pop() if self._begun else self._spawn()
        assert process.stdin is not None
        assert process.stdout is not None
        child = _Child(process, Link(process.stdout, process.stdin))
        self._children[start.child] = child
        threading.Thread(
            target=self._listen, args=(start.child, child), name=f"child {start.child}", daemon=True
        ).start()
        self.tell(start.child, start)
        log.info("child.started", child=start.child, pid=process.pid)
        return process.pid

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        for name in _THREAD_POOLS:
            environment[name] = "1"  # one process a core: libraries must not start pools of their own
        # Each opening of a source is a thread; with an arena a thread the C library would keep what all of them freed.
        environment.setdefault("MALLOC_ARENA_MAX", "2")
        try:
            return subprocess.Popen(
                [sys.executable, "-m", self.program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at the terminal reaches the supervisor alone, which drains
                env=environment,
            )
        except OSError as error:
            raise WorkerNotStarted(
                f"cannot start a worker process ({error.strerror}): free memory or processes, or use fewer --children"
            ) from error

    def tell(self, number: int, message: Message) -> None:
        """Say something to a child; if it is gone its death is among the events already."""
        child = self._children.get(number)
        if child is None:
            return
        try:
            child.link.send(message)
        except LinkClosed:
            pass

    def tell_all(self, message: Message) -> None:
        """Say something to every child."""
        for number in self:
            self.tell(number, message)

    def wake(self) -> None:
        """Make `next_event` return. Safe in a signal handler: SimpleQueue.put is reentrant."""
        self._events.put(Woken())

    def post(self, event: Posted) -> None:
        """Have `next_event` return this; from any thread."""
        self._events.put(event)

    def next_event(self, timeout_s: float) -> Event | None:
        """What happened next; None after `timeout_s`."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(event, Died):
            child = self._children.pop(event.child)
            child.link.close()
            log.info("child.ended", child=event.child, exit_code=event.exit_code)
        return event

    def kill(self, number: int) -> None:
        """End a child at once; its death is among the events later."""
        if number in self._children:
            self._children[number].process.kill()

    def kill_all(self) -> None:
        """End every child at once."""
        for number in self:
            self.kill(number)

    def _listen(self, number: int, child: _Child) -> None:
        try:
            while True:
                self._events.put(Said(number, child.link.receive(FromChild)))  # type: ignore[arg-type]
        except LinkClosed:
            pass
        # A child that closed its pipe and does not leave is of no more use than a dead one.
        try:
            exit_code = child.process.wait(LEAVES_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            exit_code = child.process.wait()
        self._events.put(Died(number, exit_code))
