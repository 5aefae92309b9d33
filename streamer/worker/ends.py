"""How streams of a child end, rest or change hands: what is still committed, said and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.errors import SourceError, SourceStalled
from streamer.messages import JobState, RunState, SourceResult, SourceState
from streamer.state.records import LeftCause
from streamer.worker import accounts
from streamer.worker.checkpoints import Resumption
from streamer.worker.lane import Lane
from streamer.worker.link import Ended, Message, Release, SourceGone
from streamer.worker.outbox import Outbox


@dataclass(frozen=True, slots=True)
class LaneCommitted:
    """The last of a lane is on the bus."""

    lane: Lane
    ended: Ended


class Ends:
    """Used by the child's loop. `tell` brings what is committed back to it, `send` speaks to the supervisor, and
    `ended` takes a lane out of the loop with what is to be said of it."""

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        tell: Callable[[LaneCommitted], None],
        send: Callable[[Message], None],
        ended: Callable[[Lane, Ended], None],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._tell = tell
        self._send = send
        self._ended = ended

    def done_before(self, lane: Lane, resumption: Resumption) -> None:
        """An earlier child or invocation has finished this very work."""
        lane.stop()
        state: RunState = "failed" if resumption.failure else "done"
        result = accounts.result(lane, state, resumption.failure, resumption.message)
        self._ended(lane, Ended(work=lane.work, run=lane.run, result=result, already_done=True))

    def not_opened(self, lane: Lane, error: SourceError) -> None:
        """The source could not be opened: there is nothing to commit, and a run of its own would say nothing."""
        lane.error = error
        if lane.returns and lane.state is not None:
            self._rest(lane, error, opened=False)
            return
        lane.stop()
        result = accounts.result(lane, "failed", error.cause, str(error))
        ended = Ended(work=lane.work, run=lane.given_run, result=result, retry=not lane.over)
        self._ended(lane, ended)

    def source_ended(self, lane: Lane, error: SourceError | None) -> None:
        """Nothing more comes from this connection."""
        lane.error = error
        if lane.returns:
            self._rest(lane, error, opened=True)
            return
        lane.stop()
        lane.finished = lane.over
        if lane.finished or lane.mode == "live":
            self.close_tracks(lane, "end_of_stream")
        if error is None:
            self._end(lane, "ended", accounts.result(lane, "done"), "done")
        else:
            result = accounts.result(lane, "failed", error.cause, str(error))
            self._end(lane, "failed", result, "failed" if lane.finished else "running")

    def _rest(self, lane: Lane, error: SourceError | None, *, opened: bool) -> None:
        """A live source went away: its state waits for it, and the supervisor says when to try again."""
        lane.rest("stalled" if isinstance(error, SourceStalled) else "backing_off", error)
        self._outbox.tell(accounts.status(lane, self._clock))
        cause, message = (error.cause, str(error)) if error else ("ended", f"{lane.source.name} has ended")
        self._send(SourceGone(work=lane.work, cause=cause, message=message, opened=opened))

    def release(self, lane: Lane, message: Release) -> None:
        match message.how:
            case "close":
                self.interrupt(lane)
            case "cancel":
                self.interrupt(lane, job_state="cancelled")
            case "hand_over":
                self._hand_over(lane)
            case "discard":
                if lane.phase != "ending":
                    lane.stop()
                self._outbox.discard(lane)
                result = accounts.result(lane, "interrupted")
                self._ended(lane, Ended(work=lane.work, run=lane.run, result=result))

    def interrupt(self, lane: Lane, job_state: JobState = "running") -> None:
        """Stop early. An archive keeps its place; a live stream's tracks end here."""
        phase = lane.phase
        if phase == "ending":
            return
        lane.stop()
        if lane.state is None or (phase == "opening" and lane.mode == "archive"):
            self._ended(lane, Ended(work=lane.work, run=lane.run, result=accounts.result(lane, "interrupted")))
            return
        if lane.mode == "live":
            self.close_tracks(lane, "interrupted")
        self._end(lane, "ended", accounts.result(lane, "interrupted"), job_state)

    def _hand_over(self, lane: Lane) -> None:
        """Leave everything as the next owner is to find it: tracks stay open, nothing is said of an end."""
        phase = lane.phase
        if phase == "ending":
            return
        lane.stop()
        ended = Ended(work=lane.work, run=lane.run, result=accounts.result(lane, "interrupted"))
        if lane.state is None or (phase == "opening" and lane.mode == "archive"):
            self._ended(lane, ended)
            return
        self._outbox.hand_over(lane, lambda: self._tell(LaneCommitted(lane, ended)))

    def close_tracks(self, lane: Lane, cause: LeftCause) -> None:
        state = lane.open_state
        records = state.actor.finish(cause)
        if lane.mode == "live":
            state.tracker.finish()
        lane.counters.records += len(records)
        self._outbox.add(lane, records)

    def _end(self, lane: Lane, state: SourceState, result: SourceResult, job_state: JobState) -> None:
        """Commit what the lane still has, and report its end once that is safe."""
        self._outbox.add(lane, ())
        if lane.job is not None:
            self._outbox.job_ends(lane, job_state, result)
        if lane.enter(state):
            self._outbox.tell(accounts.status(lane, self._clock))
        retry = result.state == "failed" and not lane.finished
        ended = Ended(
            work=lane.work, run=lane.run, result=result, retry=retry, job_state=job_state if lane.job else None
        )
        committed = LaneCommitted(lane, ended)
        self._outbox.last_of(lane, lambda: self._tell(committed))
