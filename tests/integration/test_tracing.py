"""A run sends its traces to a real receiver of OTLP over HTTP; each child is a process and sends its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.product import ONE_FACE, needs_clips, observations, streamer

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


@dataclass
class Receiver:
    """What was sent to it: spans by their resource's attributes."""

    server: ThreadingHTTPServer
    spans: list[tuple[dict[str, Any], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as Python has them."""

    def value(of: Any) -> Any:
        kind = of.WhichOneof("value")
        return [value(one) for one in of.array_value.values] if kind == "array_value" else getattr(of, kind)

    return {one.key: value(one.value) for one in attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = trace_service.ExportTraceServiceRequest.FromString(_unpacked(body, self.headers))
            for resource in request.resource_spans:
                about = plain(resource.resource.attributes)
                made.spans += [(about, span) for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def _unpacked(body: bytes, headers: Any) -> bytes:
    import gzip

    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body


@needs_clips
@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_every_batch_of_a_run_is_a_trace_of_its_child(receiver: Receiver, tmp_path: Path) -> None:
    config = tmp_path / "traced.yaml"
    config.write_text(f"tracing: {{endpoint: {receiver.url}, sample_ratio: 1.0}}\nworker: {{children: 1}}\n")
    done = streamer("run", f"face={ONE_FACE}", "--config", config, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(observations(tmp_path / "affect.db")) == 72

    about = receiver.spans[0][0]
    assert (about["service.name"], about["affect.child"]) == ("affect-streamer", 0)
    spans = [span for _, span in receiver.spans]
    batches = {span.trace_id: span for span in spans if span.name == "batch"}
    assert sum(plain(span.attributes)["affect.frames"] for span in batches.values()) == 72
    assert sum(plain(span.attributes)["affect.faces"] for span in batches.values()) == 72
    names = {span.name for span in spans}
    assert {"decode", "wait", "detect", "refine", "track", "align", "embed", "state", "encode", "publish"} <= names
    assert sum(span.name == "decode" for span in spans) == 72
    assert {span.trace_id for span in spans} == set(batches)
    for span in spans:
        said = plain(span.attributes)
        assert said.get("affect.stream", "face") == "face"
        assert "face" in said.get("affect.streams", ["face"])
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        if span.name != "batch":
            assert span.parent_span_id == batches[span.trace_id].span_id


@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_a_receiver_that_is_away_fails_nothing(tmp_path: Path) -> None:
    config = tmp_path / "traced.yaml"
    config.write_text("tracing: {endpoint: 'http://127.0.0.1:9/v1/traces', sample_ratio: 1.0}\nworker: {children: 1}\n")
    done = streamer("run", "testsrc://160x120@20?duration=2", "--config", config, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_endpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("tracing: {endpoint: 'collector:4317'}\n")
    done = streamer("run", "testsrc://64x64?duration=1", "--config", config, cwd=tmp_path)
    assert done.returncode == 2
    assert "tracing.endpoint" in done.stderr
