"""Builds a stream's records: the fields every record carries, their ids, and their numbers within each topic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from streamer.messages import (
    Bare,
    Observation,
    SourceState,
    Status,
    Track,
    TrackEvent,
    VaOrigin,
    Window,
    r6,
    r6s,
    record_id,
)
from streamer.state.tally import Answer, Tally
from streamer.state.track import TrackState
from streamer.types import EXPRESSIONS, Counters, FaceObservation, FrameFaces, Mode, TimeOrigin

LeftCause = Literal["lost", "end_of_stream", "interrupted", "source_gone"]


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What all records of a stream share until it is opened again or taken over.

    `model` names everything that shaped the answers (backbone and head). `valence_arousal_trained_on` is the
    backbone's: None when it has no valence/arousal or none that learned from people.
    """

    stream: str
    run: str
    session: str
    model: str
    precision: str
    mode: Mode = "archive"
    epoch: int = 0
    epoch_time_s: float | None = None
    valence_arousal_trained_on: str | None = None


class Moment(msgspec.Struct, frozen=True):
    """The frame a record speaks from: for what comes after the last frame, that frame."""

    session: str
    segment: int
    pts: int
    media_time_s: float
    capture_time_s: float | None
    time_origin: TimeOrigin


class Previous(msgspec.Struct, frozen=True):
    """The epoch before this one, and the last number its snapshot knew of each topic."""

    epoch: int
    last_seq: dict[str, int]


class Recorder:
    """Makes the records of one stream and numbers them: `seq` rises by one per record of a topic, from 0."""

    def __init__(self, context: StreamContext) -> None:
        self.context = context
        self.seq: dict[str, int] = {}
        self.previous: Previous | None = None
        self.moment: Moment | None = None
        self._frame: int | None = None
        self._shared: dict[str, Any] = {}
        self._bind()

    def begin_session(self, session: str) -> None:
        """The source was opened anew: ids carry the new session from here on."""
        self.context = replace(self.context, session=session)
        self._bind()

    def at(self, frame: FrameFaces) -> None:
        """Records speak from this frame until the next."""
        self._frame = frame.index
        self.stand(
            Moment(
                self.context.session,
                frame.segment,
                frame.pts,
                frame.media_time_s,
                frame.capture_time_s,
                frame.time_origin,
            )
        )

    def stand(self, moment: Moment) -> None:
        """Records speak from this moment until the next."""
        self.moment = moment
        self._shared |= {
            "session": moment.session,
            "pts": moment.pts,
            "media_time_s": r6(moment.media_time_s),
            "capture_time_s": None if moment.capture_time_s is None else r6(moment.capture_time_s),
            "time_origin": moment.time_origin,
        }

    def observation(
        self,
        track: TrackState,
        seen: FaceObservation,
        answer: Answer,
        bare: tuple[float, ...],
        size_wh: tuple[int, int],
    ) -> Observation:
        """One face in the present frame; `bare` (7) are the backbone's own probabilities, `answer` is final."""
        probs = r6s(answer.probs)
        bare_probs = probs if bare is answer.probs else r6s(bare)
        assert self.moment is not None, "an observation speaks from a frame"
        age_s = max(0.0, self.moment.media_time_s - track.began_s)
        return Observation(
            id=self._id("observation", track.id),
            **self._numbered("observations"),
            track=track.id,
            label=None if answer.label is None else EXPRESSIONS[answer.label],
            probs=probs,
            valence=r6(answer.valence),
            arousal=r6(answer.arousal),
            va_origin=answer.va_origin,
            confidence=r6(answer.confidence),
            entropy=r6(entropy_nats(answer.probs)),
            quality=seen.quality,
            quality_causes=seen.quality_causes,
            box_xywh=box_fractions(seen.face.box_xyxy.tolist(), size_wh),
            face_px=r6(seen.face.face_px),
            detector_score=r6(seen.face.score),
            roll_deg=r6(seen.roll_deg),
            yaw_deg=r6(seen.yaw_deg),
            state=track.origin,
            state_age_s=r6(age_s),
            bare=Bare(label=EXPRESSIONS[bare.index(max(bare))], probs=bare_probs),
            reused=seen.reused,
            frame=self._frame,
        )

    def window(self, track: Track, tally: Tally, complete: bool) -> Window:
        """A tumbling block that closed in the present frame."""
        return Window(
            id=self._id("window", track),
            **self._numbered("windows"),
            track=track,
            from_media_time_s=r6(tally.from_s),
            to_media_time_s=r6(tally.to_s),
            n_observations=tally.n,
            complete=complete,
            label=tally.dominant(),
            probs=tally.probs_span(),
            valence=tally.valence.span(tally.n),
            arousal=tally.arousal.span(tally.n),
            va_origin=tally.va_origin,
        )

    def appeared(self, track: Track, va_origin: VaOrigin) -> TrackEvent:
        """The track's first observation is in the present frame."""
        return TrackEvent(
            id=self._id("appeared", track),
            **self._numbered("tracks"),
            track=track,
            event="appeared",
            va_origin=va_origin,
        )

    def left(self, track: Track, life: Tally, cause: LeftCause) -> TrackEvent:
        """The track is over; it was noticed in the present frame and last seen at the summary's end."""
        return TrackEvent(
            id=self._id("left", track),
            **self._numbered("tracks"),
            track=track,
            event="left",
            cause=cause,
            va_origin=life.va_origin,
            summary=life.summary(),
        )

    def status(
        self,
        state: SourceState,
        counters: Counters,
        wall_s: float | None,
        cause: str | None,
        message: str | None,
        frame_age_s: float | None,
        reorder_delay_s: float | None,
    ) -> Status:
        """How the source is. Its id holds the wall time: a restart may give the same number to another status."""
        context = self.context
        numbered = self._numbered("status")
        wall_s = None if wall_s is None else r6(wall_s)
        numbered |= {
            "session": context.session,
            "pts": None,
            "capture_time_s": wall_s,
            "time_origin": "none" if wall_s is None else "arrival",
        }
        return Status(
            id=record_id(
                "status", context.stream, context.run, context.session, context.epoch, numbered["seq"], repr(wall_s)
            ),
            **numbered,
            state=state,
            cause=cause,
            message=message,
            frame_age_s=None if frame_age_s is None else r6(frame_age_s),
            reorder_delay_s=None if reorder_delay_s is None else r6(reorder_delay_s),
            decoded=counters.decoded,
            analysed=counters.analysed,
            faces=counters.faces,
            records=counters.records,
            corrupt_packets=counters.corrupt_packets,
            dropped=dict(counters.dropped),
        )

    def _bind(self) -> None:
        context = self.context
        self._shared |= {
            "stream": context.stream,
            "run": context.run,
            "session": context.session,
            "model": context.model,
            "precision": context.precision,
            "epoch": context.epoch,
            "epoch_time_s": None if context.epoch_time_s is None else r6(context.epoch_time_s),
        }
        self._shared.setdefault("media_time_s", 0.0)

    def _numbered(self, topic: str) -> dict[str, Any]:
        seq = self.seq.get(topic, 0)
        self.seq[topic] = seq + 1
        if seq == 0 and self.previous is not None:
            before: Mapping[str, int] = self.previous.last_seq
            return self._shared | {"seq": 0, "prev_epoch": self.previous.epoch, "prev_seq": before.get(topic)}
        return self._shared | {"seq": seq}

    def _id(self, kind: str, track: Track) -> str:
        context, moment = self.context, self.moment
        assert moment is not None, "a record of a track speaks from a frame"
        return record_id(
            kind,
            context.stream,
            context.run,
            moment.session,
            moment.segment,
            moment.pts,
            track.epoch,
            track.number,
        )


def entropy_nats(probs: tuple[float, ...]) -> float:
    """The entropy of `probs` in nats: 0 when certain, ln 7 when every expression is as likely."""
    return -sum(p * math.log(p) for p in probs if p > 0.0)


def box_fractions(box_xyxy: list[float], size_wh: tuple[int, int]) -> tuple[float, ...]:
    """`box_xyxy` in pixels as left, top, width, height in fractions of the frame, cut at the frame's edges."""
    width, height = size_wh
    left, top, right, bottom = box_xyxy
    left, right = _cut(left / width), _cut(right / width)
    top, bottom = _cut(top / height), _cut(bottom / height)
    return r6s((left, top, right - left, bottom - top))


def _cut(fraction: float) -> float:
    return min(1.0, max(0.0, fraction))
