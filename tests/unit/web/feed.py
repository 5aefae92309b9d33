"""Records of streams that never were, as a bus gives them, and a model that reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamer.bus.protocol import Incoming, Outgoing
from streamer.bus.topics import outgoing
from streamer.clock import FakeClock
from streamer.config import TopicSettings
from streamer.messages import (
    Bare,
    JobStatus,
    Observation,
    ProbsSpan,
    Span,
    Status,
    StreamDefinition,
    Track,
    TrackEvent,
    Window,
    record_id,
)
from streamer.types import EXPRESSIONS
from streamer.web.model import Model, Wanted
from streamer.wishes import records

SETTINGS = TopicSettings(partitions=8)


@dataclass
class Feed:
    """A model and its clock; each method makes a record that comes now."""

    clock: FakeClock = field(default_factory=FakeClock)
    epoch: int = 0
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = Model(SETTINGS, self.clock)

    def connect(self) -> None:
        self.model.connected(Wanted())

    def take(self, *out: Outgoing) -> None:
        self.model.take([self.came(one) for one in out])

    def came(self, out: Outgoing) -> Incoming:
        place = (out.topic, out.partition)
        self.offsets[place] = self.offsets.get(place, -1) + 1
        time_s = self.clock.wall_s()
        return Incoming(*place, self.offsets[place], out.key, out.value, out.headers, time_s)

    def face(self, stream: str, track: int = 1, label: str | None = "Happy", **more: Any) -> None:
        self.take(outgoing(self.observation(stream, track, label, **more), SETTINGS))

    def observation(self, stream: str, track: int = 1, label: str | None = "Happy", **more: Any) -> Observation:
        peak = EXPRESSIONS.index(label or "Neutral")
        values: dict[str, Any] = {
            "track": Track(epoch=self.epoch, number=track),
            "label": label,
            "probs": tuple(0.7 if k == peak else 0.05 for k in range(7)),
            "valence": 0.5,
            "arousal": 0.2,
            "va_origin": "predicted",
            "confidence": 0.7,
            "entropy": 1.0,
            "quality": "ok" if label else "low",
            "quality_causes": () if label else ("small_face",),
            "box_xywh": (0.1, 0.1, 0.2, 0.2),
            "face_px": 64.0,
            "detector_score": 0.9,
            "roll_deg": 0.0,
            "yaw_deg": 0.0,
            "state": "warm",
            "state_age_s": 12.0,
            "bare": Bare(label="Happy", probs=(0.1,) * 7),
        }
        return Observation(**self.envelope(stream), **(values | more))

    def window(self, stream: str, track: int = 1, span_s: float = 1.6) -> None:
        media_s = self.clock.now_s
        low, mid, high = (0.0,) * 7, (1 / 7,) * 7, (0.9,) * 7
        record = Window(
            **self.envelope(stream),
            track=Track(epoch=self.epoch, number=track),
            from_media_time_s=media_s - span_s,
            to_media_time_s=media_s,
            n_observations=16,
            complete=True,
            label="Happy",
            probs=ProbsSpan(min=low, max=high, mean=mid),
            valence=Span(min=-0.1, max=0.6, mean=0.3),
            arousal=Span(min=0.0, max=0.4, mean=0.2),
            va_origin="predicted",
        )
        self.take(outgoing(record, SETTINGS))

    def left(self, stream: str, track: int = 1, cause: str = "lost") -> None:
        event = TrackEvent(**self.envelope(stream), track=Track(epoch=self.epoch, number=track), event="left")
        self.take(outgoing(msgspec.structs.replace(event, cause=cause), SETTINGS))

    def status(self, stream: str, state: str = "live", **more: Any) -> None:
        self.take(outgoing(Status(**self.envelope(stream), state=state, **more), SETTINGS))  # type: ignore[arg-type]

    def define(self, stream: str, source: str = "rtsp://user:word@camera/live", **more: Any) -> None:
        self.take(records.stream_definition(StreamDefinition(stream=stream, source=source, **more), SETTINGS))

    def remove(self, stream: str) -> None:
        self.take(records.stream_removal(stream, SETTINGS))

    def job(self, job: str, batch: str = "day1", partition: int = 0, **more: Any) -> None:
        values: dict[str, Any] = {"stream": job, "source": f"/videos/{job}.mp4", "state": "running"} | more
        self.take(records.job_status(JobStatus(job=job, batch=batch, **values), partition, SETTINGS))

    def envelope(self, stream: str) -> dict[str, Any]:
        now_s = self.clock.now_s
        return {
            "id": record_id("feed", stream, str(now_s)),
            "stream": stream,
            "run": "r-feed",
            "session": "1",
            "model": "face-api",
            "precision": "fp32",
            "epoch": self.epoch,
            "epoch_time_s": self.clock.wall_offset_s,
            "seq": 0,
            "pts": math.floor(now_s * 1000),
            "media_time_s": now_s,
            "capture_time_s": self.clock.wall_s(),
            "time_origin": "arrival",
        }
