"""Who gets through, by plain ASGI messages; no server and no UI library."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamer.http_guard import Guard
from streamer.web import gate
from streamer.web.gate import MAX_SESSIONS, Gate

TOKEN = "correct-horse-battery"
OWN = {"host": "127.0.0.1:9190"}
PAGE = {"accept": "text/html"}


class Asked:
    """What came back for one request."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status = sent[0].get("status", sent[0]["type"])
        self.headers = {name.decode(): value.decode() for name, value in sent[0].get("headers", ())}
        self.body = b"".join(message.get("body", b"") for message in sent[1:])


async def inner(scope: Any, receive: Any, send: Any) -> None:
    del receive
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def ask(
    of: Gate, headers: dict[str, str], path: str = "/", method: str = "GET", body: bytes = b"", kind: str = "http"
) -> Asked:
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    if kind == "http":
        scope["method"] = method
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(of(scope, receive, send))
    return Asked(sent)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, 200),
        ({"host": "localhost:9190"}, 200),
        ({"host": "rebound.example:9190"}, 403),
        ({}, 403),
        (OWN | {"origin": "http://127.0.0.1:9190"}, 200),
        (OWN | {"origin": "http://evil.example"}, 403),
        (OWN | {"origin": "null"}, 403),
    ],
)
def test_without_a_token_only_this_machine_and_its_own_pages_get_through(headers: dict[str, str], status: int) -> None:
    assert ask(Gate(inner, Guard()), headers).status == status
    wanted = "websocket.accept" if status == 200 else "websocket.close"
    assert ask(Gate(inner, Guard()), headers, "/_nicegui_ws/socket.io/", kind="websocket").status == wanted


def test_every_answer_says_that_nothing_is_loaded_from_elsewhere() -> None:
    for answered in (ask(Gate(inner, Guard()), OWN), ask(Gate(inner, Guard(TOKEN)), OWN, "/login")):
        policy = answered.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "*" not in policy


def test_the_token_is_asked_for_once_and_then_a_cookie_opens() -> None:
    door = Gate(inner, Guard(TOKEN))
    host = {"host": "cameras.example"}
    assert ask(door, host | PAGE).headers["location"] == "/login"
    assert ask(door, host, "/_nicegui/x.js").status == 401
    assert ask(door, host, "/_nicegui_ws/socket.io/", kind="websocket").status == "websocket.close"
    asked = ask(door, host, "/login")
    assert (asked.status, b"password" in asked.body) == (200, True)
    opened = ask(door, host, "/login", "POST", f"token={TOKEN}".encode())
    assert (opened.status, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert TOKEN not in cookie
    known = host | {"cookie": cookie.partition(";")[0]}
    assert ask(door, known | PAGE).body == b"page"
    assert ask(door, known, "/_nicegui_ws/socket.io/", kind="websocket").status == "websocket.accept"
    other = known | {"origin": "http://evil.example"}
    assert ask(door, other, "/_nicegui_ws/socket.io/", kind="websocket").status == "websocket.close"
    assert ask(door, host | {"authorization": f"Bearer {TOKEN}"}).body == b"page"


@pytest.mark.parametrize(
    "body", [b"", b"token=", b"token=wrong-horse-battery", b"other=x", b"\xff\xfe", b"token=" + b"x" * 5000]
)
def test_what_is_no_token_opens_nothing(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WRONG_TOKEN_PAUSE_S", 0.0)
    refused = ask(Gate(inner, Guard(TOKEN)), {"host": "cameras.example"}, "/login", "POST", body)
    assert refused.status == 403
    assert "set-cookie" not in refused.headers
    assert b"not the token" in refused.body


def test_made_up_and_old_cookies_open_nothing() -> None:
    door = Gate(inner, Guard(TOKEN))
    host = {"host": "cameras.example"}
    first = ask(door, host, "/login", "POST", f"token={TOKEN}".encode()).headers["set-cookie"].partition(";")[0]
    assert ask(door, host | {"cookie": first}).status == 200
    for cookie in (f"{gate.COOKIE}=guess", f"{gate.COOKIE}=", "a\x01=b"):
        assert ask(door, host | {"cookie": cookie}).status == 401
    for _ in range(MAX_SESSIONS):
        ask(door, host, "/login", "POST", f"token={TOKEN}".encode())
    assert ask(door, host | {"cookie": first}).status == 401


def test_health_needs_no_token_and_nothing_to_ask_for_leads_home() -> None:
    assert ask(Gate(inner, Guard(TOKEN)), {"host": "x"}, "/healthz").body == b'{"status":"ok"}'
    assert ask(Gate(inner, Guard()), OWN, "/login").headers["location"] == "/"
