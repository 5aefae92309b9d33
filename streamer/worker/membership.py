"""A place in a consumer group, kept on a thread of its own: what happens there comes to the supervisor's loop.

The thread alone owns the group's consumer. When partitions are to be given up it waits, at most for the hand-over
time, until the loop has had everything of theirs committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer import log
from streamer.backoff import Backoff
from streamer.bus.protocol import Bus, GroupToken, Incoming, Load, Member
from streamer.errors import BusError, BusUnavailable, Fenced
from streamer.worker.children import Posted

POLL_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
STEADY_S = 60.0
"""A membership that lasted for so long is followed by the next after the shortest pause."""
LOST_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Assigned(Posted):
    """These partitions of `topic` are ours from now on."""

    topic: str
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Revoked(Posted):
    """These go to somebody else once `done` is set: what is theirs is to be committed, with `token`."""

    topic: str
    partitions: frozenset[int]
    token: GroupToken | None
    done: threading.Event


@dataclass(frozen=True, slots=True)
class Lost(Posted):
    """These may be somebody else's already: nothing more of them is to be published; `done` once that is sure."""

    topic: str
    partitions: frozenset[int]
    done: threading.Event


@dataclass(frozen=True, slots=True)
class Joined(Posted):
    """Our membership has a new proof."""

    topic: str
    token: GroupToken


@dataclass(frozen=True, slots=True)
class Records(Posted):
    """What was read, and the partitions of which everything old has been read by now."""

    topic: str
    records: list[Incoming]
    caught_up: frozenset[int]


@dataclass(slots=True)
class _Listener:
    """Passes on what the consumer tells, and waits where the answer matters."""

    topic: str
    post: Callable[[Posted], None]
    hand_over_s: float
    forget: Callable[[frozenset[int]], None] = lambda _: None
    """Is told of partitions that are ours no more, first of all."""
    waiting: set[int] = field(default_factory=set)
    """Partitions whose old records are still being read."""

    def assigned(self, partitions: frozenset[int]) -> None:
        self.waiting |= partitions
        self.post(Assigned(self.topic, partitions))

    def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None:
        self.waiting -= partitions
        self.forget(partitions)
        done = threading.Event()
        self.post(Revoked(self.topic, partitions, token, done))
        if not done.wait(self.hand_over_s):
            log.warning("hand_over.late", topic=self.topic, partitions=sorted(partitions))
            self.lost(partitions)  # a later membership would let what is late be committed all the same

    def lost(self, partitions: frozenset[int]) -> None:
        self.waiting -= partitions
        self.forget(partitions)
        done = threading.Event()
        self.post(Lost(self.topic, partitions, done))
        done.wait(LOST_WITHIN_S)


class Membership:
    """A member of `group` on `topic`. `announce`, `commit` and `leave` may come from another thread."""

    def __init__(
        self,
        bus: Bus,
        topic: str,
        group: str,
        load: Load,
        post: Callable[[Posted], None],
        *,
        whole: bool = False,
        instance: str | None = None,
        session_timeout_s: float = 10.0,
        hand_over_s: float = 5.0,
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._group = group
        self._load = load
        self._post = post
        self._whole = whole
        self._instance = instance
        self._session_timeout_s = session_timeout_s
        self._listener = _Listener(topic, post, hand_over_s, self._forget)
        self._announced = load
        self._lock = threading.Lock()
        self._offsets: dict[int, int] = {}
        self._closing = threading.Event()
        self._token: GroupToken | None = None
        self._away = False
        self._thread = threading.Thread(target=self._run, name=f"member of {group}", daemon=True)
        self._thread.start()

    def announce(self, load: Load) -> None:
        """Tell the group what we carry and could carry."""
        self._load = load

    def commit(self, offsets: dict[int, int]) -> None:
        """Remember the next offsets of these partitions; a refusal means that somebody else will."""
        with self._lock:
            self._offsets |= offsets

    def leave(self) -> None:
        """Leave the group: what is ours goes to others at once. The loop goes on hearing until `left`."""
        self._closing.set()

    @property
    def left(self) -> bool:
        """Whether nothing more will be posted."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._closing.is_set():
            began_s = time.monotonic()
            try:
                self._be_member()
            except BusError as error:
                self._note_away(error)
            except Exception:  # a thread that died silently would leave the worker without its share for ever
                log.error("membership.broke", topic=self._topic, exc_info=True)
            if time.monotonic() - began_s > STEADY_S:
                backoff.reset()
            self._closing.wait(backoff.next_s())

    def _be_member(self) -> None:
        self._announced = self._load
        member = self._bus.member(
            self._topic,
            self._group,
            self._listener,
            self._load,
            whole=self._whole,
            instance=self._instance,
            session_timeout_s=self._session_timeout_s,
        )
        try:
            self._stay(member)
        except Exception:
            self._listener.lost(member.owned())
            raise
        finally:
            member.close()

    def _stay(self, member: Member) -> None:
        while not self._closing.is_set():
            try:
                records = member.poll(POLL_S)
            except BusUnavailable as error:  # it is a member until the group says otherwise
                self._note_away(error)
                self._closing.wait(POLL_S)
                continue
            if self._away and member.token() is not None:
                self._away = False
                log.warning("group.back", topic=self._topic)
            caught_up = frozenset(at for at in self._listener.waiting if member.caught_up(at))
            self._listener.waiting -= caught_up
            if records or caught_up:
                self._post(Records(self._topic, records, caught_up))
            self._tell_token(member)
            self._obey(member)

    def _tell_token(self, member: Member) -> None:
        token = member.token()
        if token is not None and token != self._token:
            self._token = token
            self._post(Joined(self._topic, token))

    def _obey(self, member: Member) -> None:
        if self._load != self._announced:
            self._announced = self._load
            member.announce(self._announced)
        with self._lock:
            offsets, self._offsets = self._offsets, {}
        owned = member.owned()
        offsets = {at: offset for at, offset in offsets.items() if at in owned}
        if not offsets:
            return
        try:
            member.commit(offsets)
        except Fenced as error:
            log.info("position.fenced", topic=self._topic, reason=str(error))
        except BusUnavailable as error:
            self._note_away(error)
            with self._lock:  # newer ones may have come
                self._offsets = offsets | self._offsets

    def _forget(self, partitions: frozenset[int]) -> None:
        with self._lock:
            self._offsets = {at: offset for at, offset in self._offsets.items() if at not in partitions}

    def _note_away(self, error: BusError) -> None:
        if not self._away:
            self._away = True
            log.warning("group.away", topic=self._topic, reason=str(error))
