"""The process in which a page is looked at: what a page can do to it, it does to nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
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
from tests.product import until
from tests.web import Request, Site, fixed, site

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


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """What forks has loaded yt-dlp: deadlines are those of pages."""
    page_asking.said_to(b"", "nothing", 200.0)


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has another program stand in for what forks."""
    made: list[page_asking._Forker] = []

    def stand_in(*command: str) -> None:
        made.append(page_asking._Forker())
        monkeypatch.setattr(page_asking, "_forker", made[-1])
        monkeypatch.setattr(page_asking, "COMMAND", command)

    yield stand_in
    for one in made:
        one.close(0.0)


def forker() -> psutil.Process:
    process = page_asking._forker._process
    assert process is not None
    return psutil.Process(process.pid)


def forks() -> list[psutil.Process]:
    """The processes in which pages are looked at now."""
    return [one for one in forker().children() if one.status() != psutil.STATUS_ZOMBIE]


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
        connect = ConnectSettings(open_timeout_s=60.0, cookies=str(jar))
        address = resolve(source_at(web, "/watch.html"), connect, 1_700_000_000.0)
        assert (address.url, address.kind) == (f"{web.url}/clip.mp4?expires=1900000000", "http")
        assert address.expires_at_s == 1_900_000_000
        assert [(one.name, one.value) for one in address.cookies] == [("login", "secret")]
        listed = expand_pages([source_at(web, "/two.html")], CONNECT)
        assert [one.url for one in listed] == [f"{web.url}/a.mp4", f"{web.url}/b.mp4"]
        assert "404" in refusal(source_at(web, "/gone.html"), SourceMissing)
    until(lambda: forks() == [], "it ends")
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
        [process] = forks()
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
        until(lambda: forks() == [], "it is ended")


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


def test_questions_are_answered_side_by_side() -> None:
    """A page that hangs keeps no other waiting."""
    asked = threading.Event()

    def hang(request: Request) -> None:
        asked.set()
        request.site.until_closed.wait()

    with site() as web:
        web.pages |= {"/hangs.html": hang, "/watch.html": shown('<video src="clip.mp4"></video>')}
        hanging = source_at(web, "/hangs.html")
        thread = threading.Thread(target=lambda: refusal(hanging, SourceUnreachable))
        thread.start()
        assert asked.wait(100)
        assert resolve(source_at(web, "/watch.html"), CONNECT, time.time()).url == f"{web.url}/clip.mp4"
        until(lambda: len(forks()) == 1, "the other one still waits")
        web.until_closed.set()
        thread.join(100)
        assert not thread.is_alive()


def test_what_forks_is_started_anew_when_it_is_gone() -> None:
    with site() as web:
        web.pages["/watch.html"] = shown('<video src="clip.mp4"></video>')
        before = forker()
        before.kill()
        assert resolve(source_at(web, "/watch.html"), CONNECT, time.time()).url == f"{web.url}/clip.mp4"
        assert forker() != before


FORKS = """
import socket, sys, time
control = socket.socket(fileno=int(sys.argv[1]))
while True:
    said, connections, _, _ = socket.recv_fds(control, 1, 1)
    if not said:
        break
    with socket.socket(fileno=connections[0]) as answers:
        answers.sendall(b"+")
        while answers.recv(65536):
            pass
        {does}
"""


@pytest.mark.parametrize(
    ("does", "kind"),
    [
        ("pass", SourceUnsupported),
        ("answers.sendall(b'no answer')", SourceUnsupported),
        ("answers.sendall(bytes([123, 125]))", SourceUnsupported),  # {}: nothing was found, and no reason is given
        ("time.sleep(600)", SourceUnreachable),
    ],
)
def test_a_process_that_dies_or_says_nonsense_is_an_error_of_the_source(
    instead: Callable[..., None], monkeypatch: pytest.MonkeyPatch, does: str, kind: type[SourceError]
) -> None:
    instead(page_asking.COMMAND[0], "-c", FORKS.replace("{does}", does))
    monkeypatch.setattr(page_asking, "VIDEO_WITHIN_S", 60.0 if kind is SourceUnsupported else 1.0)
    refusal(parse("page+http://127.0.0.1:9/watch.html?token=geheim")[0], kind)


def test_what_forks_and_is_stuck_makes_way(instead: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    instead(page_asking.COMMAND[0], "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(page_asking, "VIDEO_WITHIN_S", 1.0)
    refusal(parse("page+http://127.0.0.1:9/watch.html")[0], SourceUnreachable)
    assert page_asking._forker._process is None


@pytest.mark.parametrize("command", [("/no/such/program",), (page_asking.COMMAND[0], "-c", "pass")])
def test_a_process_that_cannot_be_started_is_tried_again(
    instead: Callable[..., None], command: tuple[str, ...]
) -> None:
    instead(*command)
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
