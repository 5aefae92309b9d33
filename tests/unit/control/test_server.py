"""The server on real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamer.control import server as server_module
from streamer.control.server import MAX_BODY_BYTES, MAX_CONNECTIONS, ControlServer
from streamer.errors import UsageError
from streamer.http_guard import Guard
from streamer.listen import ListenAddress
from tests.unit.control.backend import Remembering

WITHIN_S = 30.0


@pytest.fixture
def backend() -> Remembering:
    return Remembering()


@pytest.fixture
def server(backend: Remembering) -> Iterator[ControlServer]:
    with ControlServer(ListenAddress("127.0.0.1", 0), Guard(), backend) as running:
        yield running


def ask(
    server: ControlServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=WITHIN_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def raw(server: ControlServer, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=WITHIN_S) as connection:
        connection.sendall(sent)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def wait_for(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_requests_are_answered(server: ControlServer, backend: Remembering) -> None:
    status, headers, body = ask(server, "PUT", "/streams/door", json.dumps({"source": "rtsp://cam"}).encode())
    assert (status, json.loads(body)) == (201, {"stream": "door", "done": "added"})
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    assert backend.wishes["door"].source == "rtsp://cam"
    assert ask(server, "GET", "/streams")[0] == 200
    assert ask(server, "BREW", "/streams")[0] == 405
    assert ask(server, "HEAD", "/streams")[2] == b""


def test_a_page_that_makes_its_name_mean_this_machine_is_refused(server: ControlServer) -> None:
    assert ask(server, "GET", "/streams", Host="evil.example")[0] == 403
    twice = raw(server, b"GET /streams HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert twice.startswith(b"HTTP/1.0 403 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"PUT /streams/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"PUT /streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"PUT /streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 6\r\n\r\n", 400),
        (b"PUT /streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_told_so_as_json(server: ControlServer, sent: bytes, status: int) -> None:
    received = raw(server, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/"):
        assert head.split()[1] == str(status).encode()
        received = body
    assert json.loads(received)["error"]


def test_bodies_are_bounded(server: ControlServer, backend: Remembering) -> None:
    status, _, body = ask(server, "PUT", "/streams/door", b" " * (MAX_BODY_BYTES + 1))
    assert (status, json.loads(body)["cause"]) == (413, "too_large")
    assert ask(server, "PUT", "/streams/door", b"9" * MAX_BODY_BYTES)[0] == 400  # read, and no stream
    assert backend.wishes == {}


def test_connections_are_bounded_and_those_beyond_are_turned_away(server: ControlServer, backend: Remembering) -> None:
    release = threading.Event()
    held = threading.Semaphore(0)

    def hold() -> None:
        held.release()
        release.wait(WITHIN_S)

    backend.hold = hold
    answers: list[int] = []
    askers = [
        threading.Thread(target=lambda: answers.append(ask(server, "GET", "/healthz")[0]))
        for _ in range(MAX_CONNECTIONS)
    ]
    for one in askers:
        one.start()
    for _ in askers:
        assert held.acquire(timeout=WITHIN_S)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(server, "GET", "/healthz")
    backend.hold = lambda: None
    release.set()
    for one in askers:
        one.join(WITHIN_S)
    assert answers == [200] * MAX_CONNECTIONS
    wait_for(lambda: _answers(server))


def test_who_is_silent_keeps_nobody_out(server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All places are taken by connections that say nothing: the oldest one makes way."""
    monkeypatch.setattr(server_module, "LONGEST_S", 0.0)
    silent = [socket.create_connection(("127.0.0.1", server.address.port)) for _ in range(MAX_CONNECTIONS)]
    try:
        wait_for(lambda: _answers(server))
    finally:
        for one in silent:
            one.close()


def test_it_ends_though_somebody_is_connected(backend: Remembering) -> None:
    server = ControlServer(ListenAddress("127.0.0.1", 0), Guard(), backend)
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=WITHIN_S) as silent:
        wait_for(lambda: _answers(server))
        server.close()
        assert silent.recv(1) == b""
    assert not [one for one in threading.enumerate() if one.name.startswith("control")]


def test_a_port_that_is_taken_is_a_sentence(server: ControlServer, backend: Remembering) -> None:
    with pytest.raises(UsageError, match="choose another"):
        ControlServer(server.address, Guard(), backend)


def test_it_listens_on_ipv6_too(backend: Remembering) -> None:
    try:
        server = ControlServer(ListenAddress("::1", 0), Guard(), backend)
    except UsageError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        connection = http.client.HTTPConnection("::1", server.address.port, timeout=WITHIN_S)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def _answers(server: ControlServer) -> bool:
    try:
        return ask(server, "GET", "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False
