"""What the supervisor knows of its streams: what the progress display shows and what the run record says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import msgspec

from streamer.messages import RunState, SourceResult
from streamer.progress import ProgressState, StreamProgress
from streamer.source import Source
from streamer.worker.link import Ended, Opened, StreamTick


class StreamView:
    """One stream as its children tell of it: `progress` for people who wait, `result` for the run record.

    `run` is empty until the source's bytes or the user have named it.
    """

    def __init__(self, source: Source, run: str, wall_s: float) -> None:
        self.source = source
        self.run = run
        self.progress = StreamProgress(stream=source.stream, state="waiting")
        self.result = SourceResult(
            stream=source.stream, source=source.name, state="running", mode=source.mode, started_s=wall_s
        )
        self._last_tick: tuple[float, StreamTick] | None = None
        self.frame_age_s: float | None = None
        self.reorder_delay_s: float | None = None

    def placed(self, restarts: int) -> None:
        """A child was asked to take it; `restarts` have died under it."""
        self._last_tick = None
        self._show(state="connecting", message="resuming" if restarts else None)
        self._note(state="running", cause=None, message=None, finished_s=None, restarts=restarts)

    def opened(self, message: Opened) -> None:
        """The source is open. That a live one is live, its first frame tells."""
        self.run = message.run
        state: ProgressState = "connecting" if self.source.mode == "live" else "running"
        self._show(state=state, duration_s=message.duration_s, message=None)
        self._note(
            cause=None,
            message=None,
            session=message.session,
            width=message.width,
            height=message.height,
            duration_s=message.duration_s or 0.0,
        )

    def gone(self, cause: str, message: str) -> None:
        """Its source went away, or is not there yet; it is tried again."""
        self._show(state="stalled" if cause == "stalled" else "backing_off", message=message, fps=0.0, speed=0.0)
        self._note(cause=cause, message=message)

    def held(self, state: Literal["waiting", "paused"], message: str | None = None) -> None:
        """It is not read for now."""
        self.frame_age_s = self.reorder_delay_s = None
        self._show(state=state, message=message, fps=0.0, speed=0.0)
        self._note(cause=None, message=None)  # what was wrong with it is not why it is not read

    def ticked(self, tick: StreamTick, now_s: float) -> None:
        """How far it is, at `now_s` of the monotonic clock."""
        if self._last_tick is not None:
            then_s, then = self._last_tick
            if now_s > then_s:
                self._show(
                    fps=max(0.0, (tick.analysed - then.analysed) / (now_s - then_s)),
                    speed=max(0.0, (tick.media_time_s - then.media_time_s) / (now_s - then_s)),
                )
        self._last_tick = (now_s, tick)
        self.frame_age_s, self.reorder_delay_s = tick.frame_age_s, tick.reorder_delay_s
        if self.source.mode == "live":
            self._show(state=tick.state)
        self._show(
            position_s=tick.media_time_s,
            decoded=tick.decoded,
            analysed=tick.analysed,
            faces=tick.faces_now,
            dropped=sum(tick.dropped.values()),
        )
        self._note(
            decoded=tick.decoded,
            analysed=tick.analysed,
            faces=tick.faces,
            records=tick.records,
            corrupt_packets=tick.corrupt_packets,
            dropped=tick.dropped,
        )

    def ended(self, message: Ended, wall_s: float) -> None:
        """It is over, and all of it is committed."""
        self.run = message.run or self.run
        self.result = msgspec.structs.replace(
            message.result,
            source=self.result.source,
            started_s=self.result.started_s,
            finished_s=wall_s,
            restarts=self.result.restarts,
        )
        self.frame_age_s = self.reorder_delay_s = None
        self._show_the_end("already on this bus: nothing to do" if message.already_done else message.result.message)

    def as_recorded(self, result: SourceResult) -> None:
        """Its work was done before, and this is what the run record says of it."""
        # By an earlier invocation, unless a child of this one did it and died before it could say so.
        self.result = msgspec.structs.replace(result, done_before=not self.result.restarts)
        self._show_the_end(self.progress.message)

    def lost_its_child(self) -> None:
        """The process that had it died; another will take it up."""
        self._last_tick = None
        self._show(state="connecting", message="resuming", fps=0.0, speed=0.0)

    def given_up(self, state: RunState, cause: str | None, message: str | None, wall_s: float) -> None:
        """It will not be gone on with."""
        self._note(state=state, cause=cause, message=message, finished_s=wall_s)
        self._show(state=state, message=message, fps=0.0, speed=0.0)

    def _show_the_end(self, message: str | None) -> None:
        result = self.result
        self._show(
            state=result.state,
            message=message,
            fps=0.0,
            speed=0.0,
            position_s=max(self.progress.position_s, result.duration_s),
            decoded=result.decoded,
            analysed=result.analysed,
        )

    def _show(self, **changes: Any) -> None:
        self.progress = replace(self.progress, **changes)

    def _note(self, **changes: Any) -> None:
        self.result = msgspec.structs.replace(self.result, **changes)


class StageTotals:
    """CPU seconds by stage over all children, the dead included."""

    def __init__(self) -> None:
        self._living: dict[int, dict[str, float]] = {}
        self._dead: dict[str, float] = {}

    def tell(self, child: int, stage_s: dict[str, float]) -> None:
        """What a child has used since its start."""
        self._living[child] = stage_s

    def died(self, child: int) -> None:
        """The next child of that number starts from 0."""
        self._dead = _sum(self._dead, self._living.pop(child, {}))

    @property
    def seconds(self) -> dict[str, float]:
        """The totals."""
        return _sum(self._dead, *self._living.values())


def _sum(*parts: dict[str, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, seconds in part.items():
            total[name] = total.get(name, 0.0) + seconds
    return total
