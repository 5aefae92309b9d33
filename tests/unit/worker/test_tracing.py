"""A batch as spans: what is in it, and what is not made where nobody asked."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from streamer.bus.protocol import Outgoing
from streamer.clock import FakeClock
from streamer.config import Config, TracingSettings
from streamer.errors import UsageError
from streamer.pipeline import Pipeline, StageTimes
from streamer.state.heads import PassthroughHead
from streamer.worker import tracing
from streamer.worker.batch import Batch
from streamer.worker.tracing import Tracing, check_tracing, tracing_of
from tests.unit.test_pipeline import CONFIG
from tests.unit.test_pipeline import stream as stream_state
from tests.unit.worker.rig import frame, models

export = pytest.importorskip("opentelemetry.sdk.trace.export")
in_memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")


class Rig:
    def __init__(self, ratio: float = 1.0) -> None:
        self.clock = FakeClock()
        self.clock.advance(100.0)
        self.memory = in_memory.InMemorySpanExporter()
        settings = TracingSettings(endpoint="http://127.0.0.1:1", sample_ratio=ratio)
        processor = export.SimpleSpanProcessor(self.memory)
        self.tracing = Tracing(settings, 3, processor, clock=self.clock, rng=random.Random(5))

    def spans(self, name: str | None = None) -> list[Any]:
        return [span for span in self.memory.get_finished_spans() if name in (None, span.name)]


def frames(stream: str = "door") -> list[Any]:
    return [replace(frame(stream, k), arrival_s=99.0 + 0.1 * k, decoded_s=99.5 + 0.1 * k) for k in range(2)]


def test_a_batch_is_one_trace_from_decoding_to_publishing() -> None:
    rig = Rig()
    trace = rig.tracing.begin(frames())
    rig.clock.advance(0.5)
    rig.tracing.passed("detect", 100.0, 100.5)
    rig.tracing.end(n_faces=4)
    batch = Batch([("door", Outgoing("t", 0, b"door", b"x"))] * 3, transactional=False, traces=[trace])
    rig.tracing.published(batch, 100.5, 100.6)

    [whole] = rig.spans("batch")
    assert dict(whole.attributes) == {"affect.frames": 2, "affect.streams": ("door",), "affect.faces": 4}
    assert dict(whole.resource.attributes)["affect.child"] == 3
    assert {span.context.trace_id for span in rig.spans()} == {whole.context.trace_id}
    assert {span.parent.span_id for span in rig.spans() if span is not whole} == {whole.context.span_id}
    assert [span.name for span in rig.spans()] == ["decode", "wait", "decode", "wait", "detect", "batch", "publish"]
    took = {span.name: round((span.end_time - span.start_time) / 1e9, 3) for span in rig.spans()}
    assert took == {"decode": 0.5, "wait": 0.4, "detect": 0.5, "batch": 1.5, "publish": 0.1}
    [publish] = rig.spans("publish")
    assert dict(publish.attributes) == {
        "affect.records": 3, "affect.streams": ("door",), "affect.transaction": False,
    }  # fmt: skip


def test_records_of_several_batches_are_linked() -> None:
    rig = Rig()
    traces: list[Any] = []
    for stream in ("a", "b"):
        traces.append(rig.tracing.begin(frames(stream)))
        rig.tracing.end(0)
    rig.tracing.published(Batch([], transactional=True, traces=traces), 100.0, 100.1)
    [publish] = rig.spans("publish")
    assert publish.parent.trace_id == traces[0].trace_id
    assert [link.context.trace_id for link in publish.links] == [traces[1].trace_id]


def test_of_batches_that_lie_in_each_other_each_has_its_own_stages() -> None:
    rig = Rig()
    rig.tracing.begin(frames("crowd"))
    rig.tracing.begin(frames("other"))
    rig.tracing.passed("detect", 100.0, 100.1)
    rig.tracing.end(1)
    rig.tracing.passed("embed", 100.1, 100.2)
    rig.tracing.end(9)
    streams = {span.name: span.attributes["affect.streams"] for span in rig.spans() if span.name in ("detect", "embed")}
    assert streams == {"detect": ("other",), "embed": ("crowd",)}


def test_as_many_batches_are_traced_as_asked_for() -> None:
    rig = Rig(ratio=0.25)
    traced = 0
    for _ in range(400):
        traced += rig.tracing.begin(frames()) is not None
        rig.tracing.passed("detect", 100.0, 100.1)
        rig.tracing.end(1)
    assert len(rig.spans("batch")) == traced == len(rig.spans("detect"))
    assert 60 < traced < 140
    rig.tracing.published(Batch([], transactional=False), 100.0, 100.1)
    assert not rig.spans("publish")


def test_the_stages_of_the_pipeline_are_spans() -> None:
    rig = Rig()
    times = StageTimes()
    times.watch = rig.tracing.passed
    rig.tracing.begin(frames())
    Pipeline(models(), CONFIG, times).step([(stream_state("door", PassthroughHead()), one) for one in frames()[:1]])
    rig.tracing.end(1)
    assert {"detect", "track", "align", "embed", "state"} <= {span.name for span in rig.spans()}


def test_without_an_endpoint_nothing_is_loaded() -> None:
    program = (
        "import sys; import streamer.worker.loop, streamer.worker.tracing as t; from streamer.config import Config; "
        "assert t.tracing_of(Config().tracing, 0) is None; t.check_tracing(Config()); "
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert tracing_of(TracingSettings(), 0) is None


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(tracing=TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces"))
    check_tracing(config)
    monkeypatch.setattr(tracing, "EXTRA", "opentelemetry_that_is_not_there.http")
    with pytest.raises(UsageError, match=r"pip install 'affect-streamer\[otel\]'"):
        check_tracing(config)
