"""Traces of batches of frames, as OpenTelemetry has them; nothing of it is loaded where no endpoint is set.

A child is a process, so each sends its own. A trace is one batch: when its frames were decoded, how long they waited,
each pass of a stage, and the publishing of the records that were made of it. What helper processes do shows as time in
which the child waits for them.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamer import __version__
from streamer.clock import Clock, SystemClock
from streamer.config import Config, TracingSettings
from streamer.errors import UsageError
from streamer.types import Frame
from streamer.worker.batch import Batch

EXTRA = "opentelemetry.exporter.otlp.proto.http"
MOST_LINKS = 32
SENT_WITHIN_S = 2.0
"""A receiver that does not take traces in time loses them: nothing waits for it for longer, not the end either."""
_NS = 1_000_000_000


def check_tracing(config: Config) -> None:
    """Raises `UsageError` where traces are asked for and cannot be made."""
    if not config.tracing.endpoint:
        return
    try:
        found = importlib.util.find_spec(EXTRA)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise UsageError("tracing.endpoint needs OpenTelemetry: pip install 'affect-streamer[otel]'")


def tracing_of(settings: TracingSettings, child: int) -> Tracing | None:
    """The traces of a child; None where there are to be none."""
    if not settings.endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return Tracing(
        settings, child, BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint, timeout=SENT_WITHIN_S))
    )


@dataclass(slots=True)
class _Open:
    """A batch that is being analysed. `context` is None where it is not traced."""

    span: Any = None
    context: Any = None
    streams: list[str] = field(default_factory=list)


class Tracing:
    """Owned by a child's loop; `published` is called by the publisher's threads. `processor` takes finished spans."""

    def __init__(
        self,
        settings: TracingSettings,
        child: int,
        processor: Any,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        resource = Resource.create(
            {"service.name": "affect-streamer", "service.version": __version__, "affect.child": child}
        )
        self._api = trace
        self._context: Any = Context
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("streamer")
        self._ratio = settings.sample_ratio
        self._rng = rng or random.Random()  # noqa: S311 (which batches are looked at is no secret)
        self._clock = clock or SystemClock()
        self._offset_s = self._clock.wall_s() - self._clock.monotonic_s()
        self._open: list[_Open] = []

    def begin(self, frames: Sequence[Frame]) -> Any | None:
        """A batch is begun; `end` must follow. Its name for the records made of it; None where it is not traced.

        Batches may lie in each other: what lets others pass in the middle.
        """
        if self._rng.random() >= self._ratio:
            self._open.append(_Open())
            return None
        now_s = self._clock.monotonic_s()
        streams = sorted({frame.stream for frame in frames})
        begun_s = min([now_s, *(frame.arrival_s for frame in frames if frame.arrival_s > 0)])
        attributes: dict[str, Any] = {"affect.frames": len(frames), "affect.streams": streams}
        # Whoever calls has no trace of its own that this could belong to.
        span = self._tracer.start_span("batch", self._context(), start_time=self._ns(begun_s), attributes=attributes)
        opened = _Open(span, self._api.set_span_in_context(span, self._context()), streams)
        self._open.append(opened)
        for frame in frames:
            of_frame = {"affect.stream": frame.stream, "affect.media_time_s": frame.media_time_s}
            if 0 < frame.arrival_s <= frame.decoded_s:
                self._span(opened, "decode", frame.arrival_s, frame.decoded_s, of_frame)
            if 0 < frame.decoded_s <= now_s:
                self._span(opened, "wait", frame.decoded_s, now_s, of_frame)
        return span.get_span_context()

    def passed(self, stage: str, begun_s: float, ended_s: float) -> None:
        """A pass of a stage, of the batch that was begun last."""
        if self._open and (opened := self._open[-1]).span is not None:
            self._span(opened, stage, begun_s, ended_s, {"affect.streams": opened.streams})

    def end(self, n_faces: int) -> None:
        """The batch that was begun last is analysed."""
        opened = self._open.pop()
        if opened.span is not None:
            opened.span.set_attribute("affect.faces", n_faces)
            opened.span.end(self._ns(self._clock.monotonic_s()))

    def published(self, batch: Batch, begun_s: float, ended_s: float) -> None:
        """Records were published: a part of the first traced batch that they were made of, linked to the others."""
        if not batch.traces:
            return
        first, *others = batch.traces[:MOST_LINKS]
        parent = self._api.set_span_in_context(self._api.NonRecordingSpan(first), self._context())
        span = self._tracer.start_span(
            "publish",
            parent,
            links=[self._api.Link(other) for other in others],
            start_time=self._ns(begun_s),
            attributes={
                "affect.records": len(batch.records),
                "affect.streams": sorted({work for work, _ in batch.records}),
                "affect.transaction": batch.transactional,
            },
        )
        span.end(self._ns(ended_s))

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()

    def _span(self, of: _Open, name: str, begun_s: float, ended_s: float, attributes: dict[str, Any]) -> None:
        span = self._tracer.start_span(name, of.context, start_time=self._ns(begun_s), attributes=attributes)
        span.end(self._ns(ended_s))

    def _ns(self, monotonic_s: float) -> int:
        return int((monotonic_s + self._offset_s) * _NS)
