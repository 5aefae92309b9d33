"""Who may ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import UsageError
from streamer.http_guard import Guard, guard_for, token_variable
from streamer.listen import ListenAddress, is_loopback, listen_address

HOST = {"Host": "127.0.0.1:9180"}
JSON = {"Content-Type": "application/json"}
TOKEN_VARIABLE = token_variable("control")
METRICS_TOKEN_VARIABLE = token_variable("metrics")
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("9180", "127.0.0.1", 9180, "http://127.0.0.1:9180"),
        ("0", "127.0.0.1", 0, "http://127.0.0.1:0"),
        ("localhost:80", "localhost", 80, "http://localhost:80"),
        ("[::1]:8080", "::1", 8080, "http://[::1]:8080"),
        ("0.0.0.0:1", "0.0.0.0", 1, "http://0.0.0.0:1"),
    ],
)
def test_an_address_is_a_port_with_or_without_a_host(text: str, host: str, port: int, url: str) -> None:
    found = listen_address(text)
    assert (found.host, found.port, found.url) == (host, port, url)


@pytest.mark.parametrize("text", ["", "x", "host:", ":80", "1.2.3.4:99999", "::1:80", "a b:80", "host:80/"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="PORT"):
        listen_address(text)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_only_this_machine_is_this_machine(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", HOST, None),
        ("GET", {"Host": "localhost"}, None),
        ("GET", {"Host": "[::1]:9180"}, None),
        ("GET", {"Host": "evil.example"}, 403),
        ("GET", {"Host": "evil.example:9180"}, 403),
        ("GET", {"Host": "127.0.0.1:9180,evil.example"}, 403),
        ("GET", {}, 403),
        ("PUT", HOST | JSON, None),
        ("PUT", HOST | {"Content-Type": "application/json; charset=utf-8"}, None),
        ("PUT", HOST | {"Content-Type": "text/plain"}, 415),
        ("PATCH", HOST, 415),
        ("DELETE", HOST, None),
        ("DELETE", HOST | {"Origin": "http://evil.example"}, 403),
        ("DELETE", HOST | {"Origin": "null"}, 403),
        ("DELETE", HOST | {"Origin": "http://127.0.0.1:1"}, 403),
        ("DELETE", HOST | {"Origin": "http://127.0.0.1:9180"}, None),
        ("GET", HOST | {"Origin": "http://[broken"}, 403),
    ],
)
def test_without_a_token_requests_come_from_this_machine_and_from_no_other_page(
    method: str, headers: dict[str, str], status: int | None
) -> None:
    refusal = Guard().refusal(method, "/streams/a", headers)
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize(
    ("authorization", "path", "status"),
    [
        (None, "/streams", 401),
        (f"Bearer {TOKEN}", "/streams", None),
        (f"bearer  {TOKEN} ", "/streams", None),
        (f"Bearer {TOKEN}x", "/streams", 401),
        (f"Basic {TOKEN}", "/streams", 401),
        ("Bearer", "/metrics", 401),
        ("Bearer \udcff", "/streams", 401),
        (None, "/healthz", None),
        (None, "/readyz", None),
        (None, "/metrics", 401),
    ],
)
def test_with_a_token_it_is_asked_for(authorization: str | None, path: str, status: int | None) -> None:
    headers = {"Host": "camera-host.example"} | ({"Authorization": authorization} if authorization else {})
    refusal = Guard(TOKEN).refusal("GET", path, headers)
    assert (refusal and refusal.status) == status


def test_a_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    own, others = ListenAddress("127.0.0.1", 1), ListenAddress("0.0.0.0", 1)
    assert guard_for(own, None, {}) == Guard(None)
    assert guard_for(others, None, {TOKEN_VARIABLE: TOKEN}) == Guard(TOKEN)
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}-of-the-file\n")
    assert guard_for(others, str(path), {TOKEN_VARIABLE: TOKEN}) == Guard(f"{TOKEN}-of-the-file")


@pytest.mark.parametrize(
    ("environment", "token_file", "told"),
    [
        ({}, None, "set a token"),
        ({TOKEN_VARIABLE: "short"}, None, "at least 16"),
        ({TOKEN_VARIABLE: ""}, None, "at least 16"),
        ({TOKEN_VARIABLE: "ü" * 20}, None, "ASCII"),
        ({}, "/nowhere/token", "cannot be read"),
    ],
)
def test_nothing_is_open_to_others_without_a_good_token(
    environment: dict[str, str], token_file: str | None, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        guard_for(ListenAddress("0.0.0.0", 1), token_file, environment)


def test_what_only_shows_has_a_token_of_its_own() -> None:
    others = ListenAddress("0.0.0.0", 1)
    with pytest.raises(UsageError, match=f"{METRICS_TOKEN_VARIABLE} or metrics.token_file"):
        guard_for(others, None, {TOKEN_VARIABLE: TOKEN}, "metrics", read_only=True)
    assert guard_for(others, None, {METRICS_TOKEN_VARIABLE: TOKEN}, "metrics", read_only=True) == Guard(
        TOKEN, read_only=True
    )
    with pytest.raises(UsageError, match="control"):
        guard_for(others, None, {METRICS_TOKEN_VARIABLE: TOKEN})


def test_each_server_has_a_token_of_its_own() -> None:
    others = ListenAddress("0.0.0.0", 1)
    with pytest.raises(UsageError, match=r"STREAMER_DASHBOARD_TOKEN or dashboard\.token_file"):
        guard_for(others, None, {TOKEN_VARIABLE: TOKEN}, "dashboard")
    assert guard_for(others, None, {"STREAMER_DASHBOARD_TOKEN": TOKEN}, "dashboard") == Guard(TOKEN)


def test_without_a_token_nothing_is_the_token() -> None:
    assert not Guard().is_token("")
    assert Guard(TOKEN).is_token(f" {TOKEN}\n")
