"""What stands before every page: who may ask, and what a page may load. Plain ASGI.

The rules are those of `streamer.http_guard`. A browser cannot send a token of itself: people give it once, on a page of
its own, and get a cookie that no other site's page makes the browser send. Whatever changes something comes over the
page's web socket, whose handshake is held to the same rules.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from streamer.http_guard import Guard, Refusal
from streamer.web.entrance import entrance

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "streamer_dashboard"
MAX_SESSIONS = 64
MAX_FORM_BYTES = 4096
WRONG_TOKEN_PAUSE_S = 1.0
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, nor sent there. The UI library compiles its templates in the page, which takes
`unsafe-eval`; no text from the bus ever becomes a template."""
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with less a form would bear no Origin
)


class Gate:
    """Lets through to `app` what `guard` allows."""

    def __init__(self, app: Asgi, guard: Guard) -> None:
        self.app = app
        self._guard = guard
        self._sessions: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = str(scope["path"])
        headers = _headers(scope)
        refusal = self._guard.refusal(str(scope.get("method", "GET")), path, headers)
        if refusal is not None and refusal.status == 401 and self._knows(headers.get("Cookie", "")):
            refusal = None
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, refusal)
        elif refusal is not None and (refusal.status != 401 or path != "/login"):
            await self._turn_away(scope, send, refusal, headers)
        elif path == "/healthz":
            await answer(send, 200, b'{"status":"ok"}', "application/json")
        elif path == "/login":
            await self._login(scope, receive, send)
        else:
            await self.app(scope, receive, _with_policy(send))

    async def _socket(self, scope: Scope, receive: Receive, send: Send, refusal: Refusal | None) -> None:
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _turn_away(self, scope: Scope, send: Send, refusal: Refusal, headers: dict[str, str]) -> None:
        if refusal.status == 401 and scope["method"] == "GET" and "text/html" in headers.get("Accept", ""):
            await answer(send, 303, b"", headers=((b"location", b"/login"),))
        else:
            await answer(send, refusal.status, f"streamer: {refusal.message}\n".encode())

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._guard.token is None:
            await answer(send, 303, b"", headers=((b"location", b"/"),))
        elif scope["method"] != "POST":
            await answer(send, 200, entrance(wrong=False), "text/html; charset=utf-8")
        elif self._guard.is_token(await _token_in(receive)):
            session = secrets.token_urlsafe(32)
            self._sessions[session] = None
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
            cookie = f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict"
            await answer(send, 303, b"", headers=((b"location", b"/"), (b"set-cookie", cookie.encode())))
        else:
            await asyncio.sleep(WRONG_TOKEN_PAUSE_S)
            await answer(send, 403, entrance(wrong=True), "text/html; charset=utf-8")

    def _knows(self, cookies: str) -> bool:
        try:
            found = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        return found is not None and found.value in self._sessions


async def answer(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole answer, which nobody is to keep."""
    fixed = ((b"content-type", content_type.encode()), (b"cache-control", b"no-store"))
    length = ((b"content-length", str(len(body)).encode()),)
    every = [*fixed, *length, *_HEADERS, *headers]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body})


def _with_policy(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sending


def _headers(scope: Scope) -> dict[str, str]:
    """The headers by their names as `Content-Type` is written; what comes twice is joined, and fits nothing."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").title(), value.decode("latin-1")
        found[key] = text if key not in found else f"{found[key]},{text}"
    return found


async def _token_in(receive: Receive) -> str:
    """The token of a form that was sent; nothing for what is too long or no form."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_FORM_BYTES or message["type"] != "http.request":
            return ""
        if not message.get("more_body"):
            break
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=4)
    except (UnicodeDecodeError, ValueError):
        return ""
    given: list[str] = fields.get("token", [""])
    return given[0]
