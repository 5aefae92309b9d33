"""The hands of a child: processes on cores that no other child has, which look at parts of a file's frames for it.

One archive file is worked on in cells of media time (see `streamer.faces.chains`), which depend on nothing before them.
So the end of each batch is given away, from the first frame of a cell on; the child looks at the beginning meanwhile,
and then follows the faces of all of them in their order. What comes out does not depend on who looked.
"""

from __future__ import annotations

import mmap
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from streamer import log
from streamer.clock import Clock
from streamer.config import Config
from streamer.faces.chains import Chain, place_of
from streamer.pipeline import Errand, StageTimes
from streamer.pixels.packing import pack, packed_bytes
from streamer.types import Frame, Sight, UInt8Array
from streamer.worker.hand_link import Begin, FromHand, HandReady, Look, Prepare, Seen, SentFrame, sights_of
from streamer.worker.link import Link, LinkClosed, Start

ANSWERS_WITHIN_S = 30.0
"""A hand that takes longer is of no use: its frames are looked at here, and it is ended."""
LEARNS = 0.2
"""How much the newest batch counts in what is known of how fast each of us is."""
STARTS_AFTER_FRAMES = 256
"""Where a file is shorter, what a hand takes to load its models is more than it could save."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (files there have no name)


@dataclass(slots=True)
class _Hand:
    process: subprocess.Popen[bytes]
    reading: IO[bytes]
    link: Link
    file: int
    memory: mmap.mmap | None = None
    view: UInt8Array = field(default_factory=lambda: np.zeros(0, np.uint8))
    upper: bool = False
    getting_ready: int = 1
    frames_per_s: float | None = None

    @staticmethod
    def begin(start: Start) -> _Hand:
        """Start one. Raises `OSError` where the machine has no room for it."""
        folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        with tempfile.TemporaryFile(dir=folder) as file:  # has no name: it is gone with the last who has it open
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamer.worker.hand"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(descriptor,),
            )
        except OSError:
            os.close(descriptor)
            raise
        assert process.stdin is not None
        assert process.stdout is not None
        # Unbuffered: what a buffer has taken in already would not show when it is asked whether something has come.
        with process.stdout as out:
            reading = os.fdopen(os.dup(out.fileno()), "rb", buffering=0)
        hand = _Hand(process, reading, Link(reading, process.stdin), descriptor)
        hand.link.send(
            Begin(
                child=start.child,
                config=start.config,
                memory=descriptor,
                cache=start.cache,
                log_level=start.log_level,
                log_format=start.log_format,
            )
        )
        return hand

    def make_room(self, n_bytes: int) -> int:
        """Where so many bytes that both see begin, beside those of the part before, which it may still look at.

        Raises `OSError` where the system has not so much: containers are given little.
        """
        half = len(self.view) // 2
        self.upper = not self.upper
        if n_bytes > half:
            half = max(n_bytes, 2 * half)  # what was in the two halves is below the new upper one
            self.upper = True
            _reserve(self.file, 2 * half)
            self.memory = mmap.mmap(self.file, 2 * half)
            self.view = np.frombuffer(self.memory, np.uint8)
        return half if self.upper else 0

    def waiting(self, timeout_s: float) -> bool:
        """Whether it has said something."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.reading, selectors.EVENT_READ)
            return bool(selector.select(timeout_s))

    def hear_ready(self) -> None:
        """It says that it has done what it had to before it can look."""
        if not isinstance(self.link.receive(FromHand), HandReady):  # type: ignore[arg-type]
            raise LinkClosed("an answer that nobody asked for")
        self.getting_ready -= 1

    def answer(self) -> Seen:
        """What it saw. Raises `LinkClosed` where it is gone, takes too long, or says something else."""
        if not self.waiting(ANSWERS_WITHIN_S):
            raise LinkClosed(f"no answer within {ANSWERS_WITHIN_S:g} s")
        seen = self.link.receive(FromHand)  # type: ignore[arg-type]
        if not isinstance(seen, Seen):
            raise LinkClosed("an answer to another question")
        return seen

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.link.close()
        os.close(self.file)


class Hands:
    """`Elsewhere` for a child's pipeline. Owned by its loop; the CPU seconds of hands are added to `times`."""

    def __init__(
        self, start: Start, times: StageTimes, clock: Clock, *, after_frames: int = STARTS_AFTER_FRAMES
    ) -> None:
        self._config: Config = start.config
        self._times = times
        self._clock = clock
        self._own_frames_per_s: float | None = None
        self._begun_s = 0.0
        self._waited_s = 0.0
        self._start = start
        self._started = False
        self._frames_until_start = after_frames
        self._sizes: list[tuple[int, int]] = []
        self._hands: list[_Hand] = []

    def _start_all(self) -> None:
        """Once it is worth it: the first results, and the end of a short file, should not wait for them."""
        self._started = True
        for _ in range(self._start.hands):
            try:
                self._hands.append(_Hand.begin(self._start))
            except (OSError, LinkClosed) as error:
                log.warning("hand.not_started", reason=str(error))
        for size_wh in self._sizes:
            self._announce(size_wh)

    @property
    def processes(self) -> tuple[subprocess.Popen[bytes], ...]:
        """Those that are there."""
        return tuple(hand.process for hand in self._hands)

    def begin(self, batch: Sequence[tuple[Chain, Frame]]) -> Sequence[Errand]:
        """Give the end of a batch away where all of it is one stream's and hands are ready."""
        self._begun_s, self._waited_s = self._clock.monotonic_s(), 0.0
        gates = self._config.gates
        if gates.still_scene or gates.same_face:
            return ()  # what stands from frame to frame is known here alone
        if not self._started:
            self._frames_until_start -= len(batch)
            if self._frames_until_start < 0:
                self._start_all()
        able = [hand for hand in tuple(self._hands) if self._is_ready(hand)]
        chains = {id(chain) for chain, _ in batch}
        frames = [frame for _, frame in batch]
        if not able or len(chains) != 1:
            return ()
        cuts = self._cuts(frames, able)
        errands: list[_Asked] = []
        for hand, start, stop in zip(able, cuts, [*cuts[1:], len(frames)], strict=False):
            if start < stop:
                errands.append(_Asked(self, hand, start, stop))
                if not self._ask(hand, frames[start:stop]):
                    errands[-1].lost = True
        return errands

    def done_here(self, n_frames: int) -> None:
        """The child itself had so many frames, and all else that it does for a batch, while the hands had theirs."""
        took_s = self._clock.monotonic_s() - self._begun_s - self._waited_s
        self._own_frames_per_s = _learnt(self._own_frames_per_s, n_frames / max(1e-6, took_s))

    def prepare(self, size_wh: tuple[int, int]) -> None:
        """Pictures of this size will come."""
        if size_wh not in self._sizes:
            self._sizes.append(size_wh)
            self._announce(size_wh)

    def _announce(self, size_wh: tuple[int, int]) -> None:
        for hand in tuple(self._hands):
            try:
                hand.link.send(Prepare(width=size_wh[0], height=size_wh[1]))
                hand.getting_ready += 1
            except LinkClosed as error:
                self._let_go(hand, error)

    def close(self) -> None:
        """End them all."""
        for hand in self._hands:
            hand.end()
        self._hands.clear()

    def _is_ready(self, hand: _Hand) -> bool:
        """Whether it would begin at once. Nobody waits for one that is still loading or compiling."""
        try:
            while hand.getting_ready and hand.waiting(0.0):
                hand.hear_ready()
        except LinkClosed as error:
            self._let_go(hand, error)
            return False
        return not hand.getting_ready

    def _cuts(self, frames: Sequence[Frame], able: Sequence[_Hand]) -> list[int]:
        """Where the part of each of `able` begins: at first frames of cells, the parts as long as each is fast."""
        interval_s = self._config.detect.interval_s
        places = [place_of(frame, interval_s) for frame in frames]
        begins = [k for k in range(1, len(frames)) if places[k] is None or places[k] != places[k - 1]]
        if not begins:
            return [len(frames)]
        known = [one for one in (self._own_frames_per_s, *(hand.frames_per_s for hand in able)) if one is not None]
        speeds = known if len(known) == 1 + len(able) else [1.0] * (1 + len(able))
        cuts: list[int] = []
        done = 0.0
        for speed in speeds[:-1]:
            done += speed
            wanted = len(frames) * done / sum(speeds)
            cuts.append(min(begins, key=lambda begin: (abs(begin - wanted), begin)))
        return sorted(cuts)

    def _ask(self, hand: _Hand, frames: Sequence[Frame]) -> bool:
        n_bytes = sum(packed_bytes(frame.picture) for frame in frames)
        try:
            at, packed = hand.make_room(n_bytes), []
            for frame in frames:
                packed.append(
                    SentFrame(
                        picture=pack(frame.picture, hand.view, at),
                        segment=frame.segment,
                        media_time_s=frame.media_time_s,
                    )
                )
                at += packed_bytes(frame.picture)
            hand.link.send(Look(n_bytes=len(hand.view), frames=tuple(packed)))
        except (OSError, LinkClosed) as error:
            self._let_go(hand, error)
            return False
        return True

    def answer(self, hand: _Hand, n: int) -> Sequence[Sight] | None:
        """What it saw, waited for; None when it is lost."""
        asked_s = self._clock.monotonic_s()
        try:
            seen = hand.answer()
            sights = sights_of(seen, n)
        except (LinkClosed, ValueError) as error:
            self._let_go(hand, error)
            return None
        finally:
            self._waited_s += self._clock.monotonic_s() - asked_s
        for stage, seconds in seen.stage_s.items():
            self._times.seconds[stage] = self._times.seconds.get(stage, 0.0) + seconds
        hand.frames_per_s = _learnt(hand.frames_per_s, n / max(1e-6, seen.wall_s))
        return sights

    def _let_go(self, hand: _Hand, error: Exception) -> None:
        """Without it from now on: whatever it was to look at is looked at here."""
        if hand in self._hands:
            log.warning("hand.lost", reason=str(error))
            self._hands.remove(hand)
            hand.end()


@dataclass(slots=True)
class _Asked:
    """An `Errand`."""

    hands: Hands
    hand: _Hand
    start: int
    stop: int
    lost: bool = False

    def wait(self) -> Sequence[Sight] | None:
        return None if self.lost else self.hands.answer(self.hand, self.stop - self.start)


def _reserve(file: int, n_bytes: int) -> None:
    """Make the file that long. What is not really there would kill whoever writes to it, so it is asked for now."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, n_bytes)
    else:
        os.ftruncate(file, n_bytes)


def _learnt(known: float | None, newest: float) -> float:
    return newest if known is None else known + LEARNS * (newest - known)
