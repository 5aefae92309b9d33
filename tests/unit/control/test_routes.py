"""Requests and their answers, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.control.checks import NotFollowed
from streamer.control.routes import Answer, answer
from streamer.control.words import Busy, Change, NotChangeable, Readiness, StreamShown, Wish, changed, defined
from streamer.errors import BusUnavailable
from streamer.http_guard import Guard
from streamer.messages import StreamDefinition
from tests.unit.control.backend import Remembering

HEADERS = {"Host": "localhost:1", "Content-Type": "application/json"}


@pytest.fixture
def backend() -> Remembering:
    return Remembering()


def ask(backend: Remembering, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return answer(backend, Guard(), method, path, HEADERS | headers, content)


def said(found: Answer) -> Any:
    return json.loads(found.body)


def test_a_stream_is_put_looked_at_changed_and_removed(backend: Remembering) -> None:
    wish = {"source": "rtsp://cam/1", "sample_fps": 2.5, "keyframes_only": True, "max_faces": 3, "priority": 1}
    first = ask(backend, "PUT", "/streams/door", wish)
    assert (first.status, said(first)) == (201, {"stream": "door", "done": "added"})
    assert backend.wishes["door"] == Wish(
        source="rtsp://cam/1", sample_fps=2.5, keyframes_only=True, max_faces=3, priority=1
    )
    assert ask(backend, "PUT", "/streams/door", wish).status == 200
    found = ask(backend, "GET", "/streams?all=yes")
    assert [one["stream"] for one in said(found)["streams"]] == ["door"]
    assert said(ask(backend, "GET", "/streams/door"))["state"] == "live"
    patched = ask(backend, "PATCH", "/streams/door", {"paused": True, "sample_fps": None})
    assert (patched.status, backend.changes) == (200, [("door", Change(paused=True, sample_fps=None))])
    assert said(ask(backend, "DELETE", "/streams/door")) == {"stream": "door", "done": "removed"}
    assert said(ask(backend, "GET", "/streams")) == {"streams": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "cause"),
    [
        ("PUT", "/streams/door", b"{", 400, "bad_request"),
        ("PUT", "/streams/door", b"\xff", 400, "bad_request"),
        ("PUT", "/streams/door", {}, 400, "bad_request"),
        ("PUT", "/streams/door", {"source": 3}, 400, "bad_request"),
        ("PUT", "/streams/door", {"source": "x", "sample_fbs": 1}, 400, "bad_request"),
        ("PATCH", "/streams/door", {"paused": "yes"}, 400, "bad_request"),
        ("PATCH", "/streams/door", b"[" * 50_000, 400, "bad_request"),
        ("PUT", "/streams/a%20b", {"source": "x"}, 422, "bad_name"),
        ("PUT", "/streams/", {"source": "x"}, 422, "bad_name"),
        ("DELETE", "/streams/..", None, 422, "bad_name"),
        ("DELETE", "/streams/nobody", None, 404, "unknown_stream"),
        ("GET", "/streams/nobody", None, 404, "unknown_stream"),
        ("PATCH", "/streams/nobody", {"paused": True}, 404, "unknown_stream"),
        ("GET", "/", None, 404, "no_such_path"),
        ("GET", "//evil.example/streams", None, 404, "no_such_path"),
        ("GET", "//[/streams", None, 404, "no_such_path"),
        ("GET", "http://localhost/streams", None, 404, "no_such_path"),
        ("POST", "/streams", None, 405, "method_not_allowed"),
        ("POST", "/streams/door", None, 405, "method_not_allowed"),
        ("DELETE", "/metrics", None, 405, "method_not_allowed"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    backend: Remembering, method: str, path: str, body: Any, status: int, cause: str
) -> None:
    found = ask(backend, method, path, body)
    assert found.status == status
    told = said(found)
    assert told["cause"] == cause
    assert told["error"].endswith((".", "nobody"))
    if status == 405:
        assert found.headers["Allow"]


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (NotFollowed("refused", "rtsp://u:geheim@cam lies elsewhere."), 422, "refused"),
        (NotChangeable("it is a file."), 409, "not_changeable"),
        (Busy("later."), 503, "busy"),
        (BusUnavailable("away."), 503, "bus_unavailable"),
        (ZeroDivisionError("rtsp://u:geheim@cam"), 500, "broke"),
    ],
)
def test_failures_have_a_status_and_no_secret(
    backend: Remembering, error: Exception, status: int, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    backend.error = error
    found = ask(backend, "PUT", "/streams/door", {"source": "x"})
    assert (found.status, said(found)["cause"]) == (status, cause)
    assert b"geheim" not in found.body


def test_metrics_come_in_the_format_that_is_asked_for(backend: Remembering) -> None:
    backend.metrics.streams.decoded.labels("door").inc(3)
    backend.error = Busy("the loop is busy")  # metrics do not wait for it
    found = ask(backend, "GET", "/metrics")
    assert found.content_type.startswith("text/plain")
    assert b'streamer_frames_decoded_total{stream="door"} 3.0' in found.body
    assert ask(backend, "GET", "/metrics", Accept="application/openmetrics-text").content_type.startswith(
        "application/openmetrics-text"
    )


def test_health_is_an_answer_of_the_loop(backend: Remembering) -> None:
    assert said(ask(backend, "GET", "/healthz"))["status"] == "ok"
    backend.error = Busy("it did not answer.")
    assert ask(backend, "GET", "/healthz").status == 503


def test_readiness_is_a_status_and_a_reason(backend: Remembering) -> None:
    found = ask(backend, "GET", "/readyz")
    assert (found.status, said(found)["ready"]) == (200, True)
    backend.ready = Readiness(ready=False, cause="draining", reason="it was asked to end.")
    found = ask(backend, "GET", "/readyz")
    assert (found.status, said(found)) == (
        503,
        {"ready": False, "cause": "draining", "reason": "it was asked to end."},
    )
    backend.error = Busy("it did not answer.")
    assert ask(backend, "GET", "/readyz").status == 503
    assert ask(backend, "POST", "/readyz").status == 405


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_what_only_shows_follows_no_change(backend: Remembering, method: str) -> None:
    body = json.dumps({"source": "x"}).encode()
    found = answer(backend, Guard(read_only=True), method, "/streams/door", HEADERS, body)
    assert (found.status, said(found)["cause"], found.headers) == (405, "read_only", {"Allow": "GET"})
    assert (backend.wishes, backend.changes) == ({}, [])
    assert answer(backend, Guard(read_only=True), "GET", "/streams", HEADERS, b"").status == 200


def test_what_is_refused_reaches_nobody(backend: Remembering) -> None:
    found = ask(backend, "PUT", "/streams/door", {"source": "x"}, Origin="http://evil.example")
    assert (found.status, backend.wishes) == (403, {})
    missing = answer(backend, Guard("0123456789abcdef"), "GET", "/streams", HEADERS, b"")
    assert (missing.status, missing.headers) == (401, {"WWW-Authenticate": "Bearer"})


def test_a_patch_leaves_what_it_does_not_name() -> None:
    wish = Wish(source="rtsp://cam", sample_fps=2.0, max_faces=3, repeat=True)
    definition = defined("door", wish, 10.0)
    assert definition == StreamDefinition(
        stream="door", source="rtsp://cam", sample_fps=2.0, max_faces=3, repeat=True, updated_s=10.0
    )
    after = changed(definition, Change(sample_fps=None, paused=True), 11.0)
    assert after == StreamDefinition(
        stream="door", source="rtsp://cam", max_faces=3, repeat=True, paused=True, updated_s=11.0
    )


def test_every_setting_of_a_definition_can_be_asked_for_and_is_shown() -> None:
    """A setting that is added to one of the four must come to the others."""
    settings = set(StreamDefinition.__struct_fields__) - {"v", "stream", "updated_s"}
    assert set(Wish.__struct_fields__) == set(Change.__struct_fields__) == settings
    assert settings <= set(StreamShown.__struct_fields__)
