"""From a request to its answer: what the server says, without a socket in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from streamer import log
from streamer.control.checks import NotFollowed
from streamer.control.words import Backend, Busy, Change, Failure, NotChangeable, Readiness, Unknown, Wish
from streamer.errors import BusError, StreamerError, UsageError
from streamer.http_guard import Guard
from streamer.source import is_stream_id, redacted

JSON = "application/json"
_STATUSES: tuple[tuple[type[StreamerError], int], ...] = (
    (Unknown, 404),
    (NotChangeable, 409),
    (NotFollowed, 422),
    (UsageError, 422),
    (Busy, 503),
    (BusError, 503),
)
_Body = TypeVar("_Body", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def answer(backend: Backend, guard: Guard, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer to one request; never raises."""
    path = target.partition("?")[0]
    refusal = guard.refusal(method, path, headers)
    if refusal is not None:
        more = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": "GET"}}.get(refusal.status, {})
        return failure(refusal.status, refusal.cause, refusal.message, more)
    try:
        return _routed(backend, method, path, headers, body)
    except msgspec.MsgspecError as error:
        return failure(400, "bad_request", f"the body cannot be read: {error}.")
    except StreamerError as error:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
        return failure(status, error.cause, str(error))
    except Exception:
        log.error("control.broke", method=method, exc_info=True)
        return failure(500, "broke", "the request failed in a way that nobody foresaw: see the log, and report it.")


def failure(status: int, cause: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """An error as JSON with one sentence, without secrets."""
    return Answer(status, msgspec.json.encode(Failure(cause=cause, error=redacted(message))), headers=headers or {})


def _routed(backend: Backend, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    if path == "/healthz":
        return _only(method, "GET") or _json(200, backend.health())
    if path == "/readyz":
        return _only(method, "GET") or _readiness(backend.readiness())
    if path == "/metrics":
        if (refused := _only(method, "GET")) is not None:
            return refused
        text, content_type = backend.metrics.exposition(headers.get("Accept", ""))
        return Answer(200, text, content_type)
    if path == "/streams":
        return _only(method, "GET") or _json(200, {"streams": backend.streams()})
    if path.startswith("/streams/"):
        return _stream(backend, method, unquote(path.removeprefix("/streams/")), body)
    return failure(404, "no_such_path", "there is nothing here: GET /streams, /metrics, /healthz or /readyz.")


def _readiness(found: Readiness) -> Answer:
    return _json(200 if found.ready else 503, found)


def _stream(backend: Backend, method: str, name: str, body: bytes) -> Answer:
    if not is_stream_id(name):
        raise NotFollowed("bad_name", "a stream's name is at most 100 letters, digits, dots, dashes and underscores.")
    match method:
        case "GET":
            found = next((one for one in backend.streams() if one.stream == name), None)
            if found is None:
                raise Unknown(f"there is no stream {name}: GET /streams for the names.")
            return _json(200, found)
        case "PUT":
            done = backend.put(name, _read(body, Wish))
            return _json(201 if done == "added" else 200, {"stream": name, "done": done})
        case "PATCH":
            return _json(200, {"stream": name, "done": backend.change(name, _read(body, Change))})
        case "DELETE":
            return _json(200, {"stream": name, "done": backend.remove(name)})
        case _:
            return _not_allowed("GET, PUT, PATCH, DELETE")


def _read(body: bytes, kind: type[_Body]) -> _Body:
    return msgspec.json.decode(body, type=kind)


def _json(status: int, of: object) -> Answer:
    return Answer(status, msgspec.json.encode(of))


def _only(method: str, allowed: str) -> Answer | None:
    return None if method == allowed else _not_allowed(allowed)


def _not_allowed(allowed: str) -> Answer:
    return failure(405, "method_not_allowed", f"this takes {allowed}.", {"Allow": allowed})
