"""The process in which a page is looked at: what a page can do to it, it does to nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from streamer.config import ConnectSettings
from streamer.errors import SourceError, SourceMissing, SourceUnreachable, SourceUnsupported
from streamer.source import Source
from streamer.sources import expand_pages, page_asking, parse, resolve
from streamer.sources.page_asking import Answer
from tests.integration.test_pages import page
from tests.unit.decode.web import Request, Site, fixed, site

CONNECT = ConnectSettings(open_timeout_s=60.0)


def source_at(web: Site, path: str) -> Source:
    (source,) = parse(f"page+{web.url}{path}?token=geheim", "archive")
    return source


def refusal(source: Source, kind: type[SourceError], connect: ConnectSettings = CONNECT) -> str:
    with pytest.raises(SourceError) as caught:
        resolve(source, connect, time.time())
    assert type(caught.value) is kind, caught.value
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shown(body: str) -> Callable[[Request], None]:
    return fixed(page(body), Content_Type="text/html")


def below() -> list[psutil.Process]:
    """The processes of this one in which pages are looked at."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if "streamer.sources.page_process" in _line(one)]


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_what_is_found_and_what_is_not_comes_back_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jar = tmp_path / "cookies.txt"
    jar.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tlogin\tsecret\n")
    with site() as web:
        web.pages["/watch.html"] = shown('<video src="clip.mp4?expires=1900000000"></video>')
        web.pages["/two.html"] = shown('<video src="a.mp4"></video><video src="b.mp4"></video>')
        address = resolve(source_at(web, "/watch.html"), ConnectSettings(open_timeout_s=60.0, cookies=str(jar)), 1_700_000_000.0)
        assert (address.url, address.kind) == (f"{web.url}/clip.mp4?expires=1900000000", "http")
        assert address.expires_at_s == 1_900_000_000
        assert dict(address.headers)["Cookie"] == "login=secret"
        listed = expand_pages([source_at(web, "/two.html")], CONNECT)
        assert [one.url for one in listed] == [f"{web.url}/a.mp4", f"{web.url}/b.mp4"]
        assert "404" in refusal(source_at(web, "/gone.html"), SourceMissing)
    assert below() == []
    assert capfd.readouterr() == ("", "")


def test_no_secret_stands_on_its_command_line() -> None:
    asked = threading.Event()

    def hang(request: Request) -> None:
        asked.set()
        request.site.until_closed.wait()

    with site() as web:
        web.pages["/watch.html"] = hang
        source = source_at(web, "/watch.html")
        thread = threading.Thread(target=lambda: refusal(source, SourceUnsupported))
        thread.start()
        assert asked.wait(100)
        [process] = below()
        assert "geheim" not in _line(process)
        assert web.url not in _line(process)
        assert os.getsid(process.pid) == process.pid  # what it starts ends with it
        process.kill()
        web.until_closed.set()
        thread.join(60)
        assert not thread.is_alive()


def test_a_page_that_takes_for_ever_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        while not request.site.until_closed.wait(0.05):
            request.wfile.write(b"<p>")

    monkeypatch.setattr(page_asking, "VIDEO_WITHIN_S", 3.0)
    with site() as web:
        web.pages["/watch.html"] = drip
        assert "within 3 s" in refusal(source_at(web, "/watch.html"), SourceUnreachable)
        assert below() == []


def test_a_page_that_never_ends_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        while not request.site.until_closed.is_set():
            request.wfile.write(b"<p>more</p>" * 100_000)

    monkeypatch.setattr(page_asking, "MOST_BYTES", 200 * 1024**2)
    monkeypatch.setattr(page_asking, "VIDEO_WITHIN_S", 200.0)
    before = psutil.Process().memory_info().rss
    with site() as web:
        web.pages["/watch.html"] = endless
        assert "more than 200 MB" in refusal(source_at(web, "/watch.html"), SourceUnsupported)
    assert psutil.Process().memory_info().rss - before < 100 * 1024**2


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("import os; os.abort()", SourceUnsupported),
        ("print('no answer')", SourceUnsupported),
        ("print('{\"found\": 5}')", SourceUnsupported),
        ("raise MemoryError", SourceUnsupported),
        ("import time; time.sleep(600)", SourceUnreachable),
    ],
)
def test_a_process_that_dies_or_says_nonsense_is_an_error_of_the_source(
    monkeypatch: pytest.MonkeyPatch, program: str, kind: type[SourceError]
) -> None:
    monkeypatch.setattr(page_asking, "COMMAND", (page_asking.COMMAND[0], "-c", program))
    monkeypatch.setattr(page_asking, "VIDEO_WITHIN_S", 60.0 if kind is SourceUnsupported else 1.0)
    refusal(parse("page+http://127.0.0.1:9/watch.html?token=geheim")[0], kind)


def test_a_process_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page_asking, "COMMAND", (str(tmp_path / "none"),))
    told = refusal(parse("page+http://127.0.0.1:9/watch.html?token=geheim")[0], SourceUnreachable)
    assert "no process could be started" in told


def test_every_error_of_a_source_comes_back_as_itself() -> None:
    for kind in SourceError.__subclasses__():
        answer = msgspec.json.decode(
            msgspec.json.encode(Answer(refusal=page_asking.Refusal(kind.cause, "it is so."))), type=Answer
        )
        assert answer.refusal is not None
        error = page_asking._error_of(answer.refusal)
        assert (type(error), str(error)) == (kind, "it is so.")
