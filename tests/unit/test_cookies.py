"""Which cookies go with a request."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from streamer.cookies import Cookie, cookie_header

NOW_S = 1.7e9
HOST = Cookie("a", "1", "site.example", shared=False)


def goes(cookie: Cookie, url: str) -> bool:
    return cookie.goes_to(urlsplit(url), NOW_S)


@pytest.mark.parametrize(
    ("domain", "shared", "host", "does"),
    [
        ("site.example", False, "site.example", True),
        ("site.example", False, "SITE.example.", True),
        ("site.example", False, "www.site.example", False),
        ("site.example", True, "site.example", True),
        ("site.example", True, "cdn.www.site.example", True),
        ("site.example", True, "evilsite.example", False),
        ("site.example", True, "site.example.evil.example", False),
        ("www.site.example", True, "site.example", False),
        ("0.0.1", True, "127.0.0.1", False),
        ("127.0.0.1", False, "127.0.0.1", True),
        ("127.0.0.1", False, "127.0.0.2", False),
    ],
)
def test_the_host(domain: str, shared: bool, host: str, does: bool) -> None:
    assert goes(replace(HOST, domain=domain, shared=shared), f"http://{host}:8080/a") is does


@pytest.mark.parametrize(
    ("path", "wanted", "does"),
    [
        ("/", "", True),
        ("/", "/a/b", True),
        ("/hls", "/hls", True),
        ("/hls", "/hls/1.ts", True),
        ("/hls/", "/hls/1.ts", True),
        ("/hls/", "/hls", False),
        ("/hls", "/hlsx", False),
        ("/hls", "/", False),
    ],
)
def test_the_path(path: str, wanted: str, does: bool) -> None:
    assert goes(replace(HOST, path=path), f"http://site.example{wanted}?x=/hls/") is does


def test_a_secure_one_goes_over_tls_only() -> None:
    assert goes(replace(HOST, secure=True), "https://site.example/")
    assert not goes(replace(HOST, secure=True), "http://site.example/")


def test_an_old_one_stays() -> None:
    assert goes(replace(HOST, expires_s=NOW_S + 1), "http://site.example/")
    assert not goes(replace(HOST, expires_s=NOW_S), "http://site.example/")


def test_those_of_longer_paths_come_first() -> None:
    cookies = [HOST, replace(HOST, name="b", path="/hls"), replace(HOST, name="", value="bare", path="/hls/1")]
    parts = urlsplit("http://site.example/hls/1")
    assert cookie_header(cookies, parts, NOW_S) == "bare; b=1; a=1"
    assert cookie_header([], parts, NOW_S) is None


def test_its_value_is_not_shown() -> None:
    assert "geheim" not in repr(replace(HOST, value="geheim"))
