"""Status records of streams that no child writes: those that wait for room, are paused, or failed to begin.

Whoever writes a stream's records has claimed it, so the supervisor claims a stream before its first notice; a child
that takes it over later writes under a claim of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer import log
from streamer.bus.protocol import Outgoing, Placed
from streamer.bus.topics import outgoing
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.messages import SourceState, Status, r6, record_id
from streamer.wishes import records
from streamer.worker.desk import Appends

REPEAT_S = 10.0
REFUSED_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Said:
    state: SourceState
    cause: str | None
    message: str | None


@dataclass(slots=True)
class _Notice:
    said: _Said
    claim: Placed | None = None
    seq: int = 0
    told: _Said | None = None
    told_s: float = 0.0


@dataclass(slots=True)
class Notices:
    """Owned by the supervisor's loop, of a worker of the fleet or of a run. `run` is that of its records."""

    config: Config
    desk: Appends
    clock: Clock
    run: str
    worker: str
    _notices: dict[str, _Notice] = field(default_factory=dict)
    _claiming: bool = False
    _sending: bool = False
    _pause_until_s: float = 0.0

    def say(self, stream: str, state: SourceState, message: str | None = None, cause: str | None = None) -> None:
        """Tell how a stream is: now, and again every few seconds for as long as that stays so."""
        said = _Said(state, cause, message)
        notice = self._notices.get(stream)
        if notice is None:
            self._notices[stream] = _Notice(said)
        else:
            notice.said = said

    def forget(self, stream: str) -> None:
        """Somebody else speaks for it from now on."""
        self._notices.pop(stream, None)

    def send_due(self) -> None:
        """Claim what is not claimed yet, and send what has changed or was said too long ago."""
        if self.clock.monotonic_s() < self._pause_until_s:
            return
        unclaimed = [stream for stream, notice in self._notices.items() if notice.claim is None]
        waiting = {stream: self._notices[stream] for stream in unclaimed}
        if unclaimed and not self._claiming:
            self._claiming = True
            claims = [records.claim(stream, self.worker, self.config.topics) for stream in unclaimed]
            self.desk.append(claims, lambda places: self._claimed(waiting, places), self._unclaimed)
        if self._sending:  # while the bus is away nothing piles up
            return
        due = [record for stream, notice in self._notices.items() if (record := self._record(stream, notice))]
        if due:
            self._sending = True
            self.desk.append(due, lambda _: self._sent(), self._unsent)

    def _claimed(self, waiting: dict[str, _Notice], places: list[Placed]) -> None:
        self._claiming = False
        for notice, place in zip(waiting.values(), places, strict=True):
            notice.claim = place

    def _unclaimed(self, error: StreamerError) -> None:
        self._claiming = False
        self._refused(error)

    def _sent(self) -> None:
        self._sending = False

    def _unsent(self, error: StreamerError) -> None:
        self._sending = False
        self._refused(error)

    def _refused(self, error: StreamerError) -> None:
        log.error("notice.refused", cause=error.cause, reason=str(error))
        self._pause_until_s = self.clock.monotonic_s() + REFUSED_PAUSE_S

    def _record(self, stream: str, notice: _Notice) -> Outgoing | None:
        now_s, claim = self.clock.monotonic_s(), notice.claim
        if claim is None or (notice.told == notice.said and now_s < notice.told_s + REPEAT_S):
            return None
        said, wall_s, session = notice.said, r6(self.clock.wall_s()), f"{claim.offset}.0"
        status = Status(
            id=record_id("status", stream, self.run, session, claim.offset, notice.seq, repr(wall_s)),
            stream=stream,
            run=self.run,
            session=session,
            model="",
            precision="",
            epoch=claim.offset,
            epoch_time_s=r6(claim.time_s),
            seq=notice.seq,
            pts=None,
            media_time_s=0.0,
            capture_time_s=wall_s,
            time_origin="arrival",
            state=said.state,
            cause=said.cause,
            message=said.message,
        )
        notice.told, notice.told_s = said, now_s
        notice.seq += 1
        return outgoing(status, self.config.topics)
