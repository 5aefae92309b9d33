"""Cookies as yt-dlp keeps them, and as they go with requests."""

from __future__ import annotations

import email.message
import urllib.request
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from urllib.parse import urlsplit

import pytest

from streamer.cookies import cookie_header
from streamer.sources.ytdlp import as_cookies


class Answer:
    def __init__(self, *cookies: str) -> None:
        self._headers: email.message.Message = HTTPMessage()
        for cookie in cookies:
            self._headers["Set-Cookie"] = cookie

    def info(self) -> email.message.Message:
        return self._headers


@pytest.mark.parametrize("page", ["https://www.site.example/watch/1", "http://127.0.0.1:8080/a/b", "http://nvr/x"])
def test_cookies_of_a_jar_go_where_the_jar_would_send_them(page: str) -> None:
    jar = CookieJar()
    told = (
        "own=1",
        "wide=2; Domain=site.example; Path=/",
        "tls=3; Secure; Path=/",
        "deep=4; Path=/watch",
        "x=5; Path=/",
    )
    jar.extract_cookies(Answer(*told), urllib.request.Request(page))  # type: ignore[arg-type]
    cookies = [cookie for kept in jar for cookie in as_cookies(kept)]
    assert cookies
    for host in ("www.site.example", "cdn.site.example", "site.example", "127.0.0.1:8080", "nvr", "other.example"):
        for scheme in ("http", "https"):
            for path in ("/", "/watch/1", "/watch/2/x", "/a/c", "/b"):
                url = f"{scheme}://{host}{path}"
                request = urllib.request.Request(url)
                jar.add_cookie_header(request)
                expected = set((request.get_header("Cookie") or "").split("; "))
                assert set((cookie_header(cookies, urlsplit(url), 0.0) or "").split("; ")) == expected, url
