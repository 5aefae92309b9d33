"""The web client against servers that mean no good."""

from __future__ import annotations

import gzip
import threading
import time
from itertools import count

import pytest

from streamer import errors
from streamer.config import ConnectSettings
from streamer.cookies import Cookie
from streamer.http_auth import authorization
from streamer.http_io import Http
from streamer.source import Address, Source
from tests.web import Request, client, fixed, moved, site, source_of

LIMIT = 100_000


def fetched(http: Http, url: str, limit_s: float = 5.0) -> bytes:
    return http.whole(url, LIMIT, limit_s)[0]


def test_a_page_and_where_it_came_from() -> None:
    with site() as web:
        web.pages |= {"/a": moved("/b/c"), "/b/c": fixed(b"here")}
        assert client(web.url).whole(f"{web.url}/a", LIMIT, 5.0) == (b"here", f"{web.url}/b/c")


def test_a_part_of_a_page_whether_or_not_the_server_gives_parts() -> None:
    def part(request: Request) -> None:
        assert request.headers["Range"] == "bytes=3-5"
        request.give(b"def", 206, Content_Range="bytes 3-5/10")

    with site() as web:
        web.pages |= {"/parts": part, "/whole": fixed(b"abcdefghij")}
        for path in ("/parts", "/whole"):
            assert client(web.url).whole(web.url + path, LIMIT, 5.0, (3, 3))[0] == b"def"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, errors.SourceMissing),
        (410, errors.SourceMissing),
        (401, errors.SourceUnauthorized),
        (403, errors.SourceUnauthorized),
        (429, errors.SourceUnreachable),
        (500, errors.SourceUnreachable),
        (503, errors.SourceUnreachable),
    ],
)
def test_refusals_are_told_apart(status: int, error: type[errors.SourceError]) -> None:
    with site() as web:
        web.pages["/a"] = fixed(b"no", status)
        with pytest.raises(error):
            fetched(client(web.url), f"{web.url}/a?token=hunter2")


def test_what_was_there_before_may_come_back() -> None:
    with site() as web, pytest.raises(errors.SourceUnreachable):
        client(web.url).get(f"{web.url}/gone", after=True)


@pytest.mark.parametrize("kind", ["page", "expires"])
def test_an_address_that_expires_and_is_refused_has_expired(kind: str) -> None:
    with site() as web:
        web.pages["/a"] = fixed(b"", 403)
        source = Source("s", web.url, "page" if kind == "page" else "hls", "live")
        address = Address(f"{web.url}/a", "hls", (), None if kind == "page" else 1e12)
        with pytest.raises(errors.SourceExpired):
            Http(source, address, ConnectSettings()).get(address.url)


def test_nobody_there_and_never_the_secret() -> None:
    with site() as web:
        url = f"{web.url.replace('//', '//me:hunter2@')}/a?token=hunter2"
    with pytest.raises(errors.SourceUnreachable) as caught:
        client(url).get(url)
    assert "hunter2" not in str(caught.value)


def test_endless_redirects_end() -> None:
    with site() as web:
        numbers = count()
        web.pages["/a"] = lambda request: request.give(b"", 302, Location=f"/a?{next(numbers)}")
        with pytest.raises(errors.SourceUnreachable, match="more than 3 times"):
            client(web.url, max_redirects=3).get(f"{web.url}/a")
        assert len(web.asked) == 4


@pytest.mark.parametrize("to", ["http://127.0.0.2:{port}/secret", "http://localhost:{port}/secret"])
def test_a_redirect_into_the_inside_is_not_followed(to: str) -> None:
    with site("127.0.0.2") as inside, site() as web:
        inside.pages["/secret"] = fixed(b"secret")
        web.pages["/a"] = moved(to.format(port=inside.server.server_port))
        with pytest.raises(errors.AddressRefused):
            fetched(client(web.url), f"{web.url}/a")
        assert inside.asked == []
        if "127.0.0.2" in to:
            assert fetched(client(web.url, networks=("127.0.0.2/32",)), f"{web.url}/a") == b"secret"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,x"])
def test_a_redirect_to_what_is_no_web_address(to: str) -> None:
    with site() as web:
        web.pages["/a"] = moved(to)
        with pytest.raises(errors.AddressRefused):
            client(web.url).get(f"{web.url}/a")


def test_what_a_page_names_must_be_outside_although_the_page_is_not() -> None:
    """The source's own host is the page's; the video's host is only what the page says."""
    with site("127.0.0.2") as inside:
        inside.pages["/v"] = fixed(b"video")
        source = Source("s", "http://127.0.0.1/watch", "page", "live")
        with pytest.raises(errors.AddressRefused):
            Http(source, Address(f"{inside.url}/v", "http"), ConnectSettings()).get(f"{inside.url}/v")
        assert inside.asked == []


def test_too_many_bytes_declared_or_not() -> None:
    def endless(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        while not request.site.until_closed.is_set():
            request.wfile.write(b"#EXTM3U\n" * 1000)

    with site() as web:
        web.pages |= {"/declared": fixed(b"x" * (LIMIT + 1)), "/endless": endless}
        for path in ("/declared", "/endless"):
            with pytest.raises(errors.SourceUnsupported, match="more than"):
                fetched(client(web.url), web.url + path)


def test_what_is_sent_compressed_is_not_unpacked() -> None:
    with site() as web:
        web.pages["/bomb"] = fixed(gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip")
        with pytest.raises(errors.SourceUnsupported, match="compressed"):
            fetched(client(web.url), f"{web.url}/bomb")
        assert web.asked[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_byte_now_and_then_does_not_keep_it_waiting(part: str) -> None:
    def slow(request: Request) -> None:
        if part == "headers":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        else:
            request.send_response(200)
            request.end_headers()
        while not request.site.until_closed.wait(0.02):
            request.wfile.write(b"a")

    with site() as web:
        web.pages["/slow"] = slow
        began_s = time.monotonic()
        with pytest.raises(errors.SourceUnreachable, match="in time"):
            fetched(client(web.url, open_timeout_s=0.3), f"{web.url}/slow", 0.3)
        assert time.monotonic() - began_s < 30  # not for ever


@pytest.mark.parametrize("part", ["headers", "body"])
def test_another_thread_ends_the_wait(part: str) -> None:
    waiting = threading.Event()

    def hang(request: Request) -> None:
        if part == "body":
            request.send_response(200)
            request.end_headers()
            request.wfile.write(b"a")
        waiting.set()
        request.site.until_closed.wait()

    with site() as web:
        web.pages["/hang"] = hang
        http = client(web.url, open_timeout_s=600)
        failures: list[Exception] = []

        def read() -> None:
            try:
                fetched(http, f"{web.url}/hang", 600)
            except errors.SourceError as error:
                failures.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        assert waiting.wait(20)
        http.abort()
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(failures[0], errors.SourceUnreachable)
        with pytest.raises(errors.SourceUnreachable):
            http.get(f"{web.url}/hang")


def test_an_answer_that_is_cut() -> None:
    def cut(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"abc")
        request.close_connection = True

    with site() as web:
        web.pages["/cut"] = cut
        with pytest.raises(errors.SourceUnreachable, match="broke off"):
            fetched(client(web.url), f"{web.url}/cut")


def test_headers_go_along_but_secrets_only_to_the_own_host() -> None:
    with site("127.0.0.2") as other, site() as web:
        other.pages["/b"] = fixed(b"")
        web.pages["/a"] = moved(f"{other.url}/b")
        secret = ("Authorization", "Bearer 1")
        headers = (("Referer", "https://page"), secret, ("Cookie", "id=1"), ("User-Agent", "me"), ("Range", "bytes=1-"))
        http = client(web.url, headers=headers, networks=("127.0.0.0/8",))
        fetched(http, f"{web.url}/a")
        first, second = web.asked[0][1], other.asked[0][1]
        assert (first["referer"], first["authorization"], first["user-agent"]) == ("https://page", "Bearer 1", "me")
        assert first["accept-encoding"] == "identity"
        assert first.keys().isdisjoint(("range", "cookie"))  # a cookie goes as one, with what it is for
        assert (second["referer"], second.get("authorization")) == ("https://page", None)


def test_a_cookie_goes_with_the_requests_that_it_is_for_and_no_others() -> None:
    def own(name: str, domain: str, path: str = "/", *, secure: bool = False, expires_s: float | None = None) -> Cookie:
        return Cookie(name, "1", domain, shared=False, path=path, secure=secure, expires_s=expires_s)

    with site("127.0.0.2") as other, site() as web:
        other.pages |= {"/b": moved(f"{web.url}/hls/c"), "/hls/d": fixed(b"")}
        web.pages |= {"/a": moved(f"{other.url}/b"), "/hls/c": moved(f"{other.url}/hls/d")}
        cookies = (
            own("all", "127.0.0.1"),
            own("hls", "127.0.0.1", "/hls"),
            own("tls", "127.0.0.1", secure=True),
            own("old", "127.0.0.1", expires_s=1.0),
            own("theirs", "127.0.0.2", "/hls/"),
        )
        address = Address(web.url, "hls", cookies=cookies)
        http = Http(source_of(web.url), address, ConnectSettings(networks=("127.0.0.0/8",)))
        fetched(http, f"{web.url}/a")
        assert [headers.get("cookie") for _, headers in web.asked] == ["all=1", "hls=1; all=1"]
        assert [headers.get("cookie") for _, headers in other.asked] == [None, "theirs=1"]


def test_credentials_of_an_address_with_tls_do_not_go_without_it() -> None:
    """As a redirect from https to http of the same host would have it."""
    with site() as web:
        web.pages["/a"] = fixed(b"", 401, WWW_Authenticate='Basic realm="cam"')
        url = web.url.replace("http://", "https://me:hunter2@")
        http = Http(source_of(url), Address(url, "hls", (("Authorization", "Bearer 1"),)), ConnectSettings())
        with pytest.raises(errors.SourceUnauthorized):
            fetched(http, f"{web.url}/a")
        assert [headers.get("authorization") for _, headers in web.asked] == [None]


@pytest.mark.parametrize("way", ["basic", "digest"])
def test_credentials_are_given_when_asked_for_and_only_to_the_own_host(way: str) -> None:
    challenge = {"basic": 'Basic realm="cam"', "digest": 'Digest realm="cam", nonce="abc", qop="auth"'}[way]

    def guarded(request: Request) -> None:
        told = request.headers.get("Authorization", "")
        if told.lower().startswith(way):
            request.give(b"in")
        else:
            request.give(b"", 401, WWW_Authenticate=challenge)

    with site("127.0.0.2") as other, site() as web:
        web.pages["/a"] = other.pages["/a"] = guarded
        url = f"{web.url.replace('//', '//me:hunter2@')}/a"
        http = client(url, networks=("127.0.0.0/8",))
        assert fetched(http, url) == b"in"
        assert "authorization" not in web.asked[0][1]
        with pytest.raises(errors.SourceUnauthorized):
            fetched(http, f"{other.url}/a")
        assert all("authorization" not in headers for _, headers in other.asked)


def test_digest_as_in_the_rfc() -> None:
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    told = authorization(
        [challenge],
        "GET",
        "/dir/index.html",
        ("Mufasa", "Circle of Life"),
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert told is not None
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in told
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in (
        authorization(
            [challenge.replace("MD5", "SHA-256")],
            "GET",
            "/dir/index.html",
            ("Mufasa", "Circle of Life"),
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )
        or ""
    )


def test_a_server_that_answers_nothing_of_http() -> None:
    def noise(request: Request) -> None:
        request.wfile.write(b"SSH-2.0-OpenSSH\r\n" * 100)
        request.close_connection = True

    with site() as web:
        web.pages["/a"] = noise
        with pytest.raises(errors.SourceUnreachable):
            client(web.url).get(f"{web.url}/a")


def test_https_is_verified() -> None:
    """A server that speaks no TLS is as bad as one with a wrong certificate: neither is talked to."""
    with site() as web, pytest.raises(errors.SourceUnreachable):
        Http(source_of(web.url), Address(web.url, "hls"), ConnectSettings()).get(web.url.replace("http:", "https:"))
    assert web.asked == []
