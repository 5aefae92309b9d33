"""Asking a process over HTTP: a real server, and addresses at which nobody is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamer.cli import cli
from streamer.control.client import Asked, NotAsked, token_of
from streamer.control.server import ControlServer
from streamer.control.words import Busy, Readiness, Wish
from streamer.errors import UsageError
from streamer.http_guard import Guard
from streamer.listen import ListenAddress
from tests.unit.control.backend import Remembering

TOKEN = "0123456789abcdef"


@pytest.fixture
def backend() -> Remembering:
    backend = Remembering(wishes={"door": Wish(source="testsrc://64x64")})
    backend.metrics.streams.begin("door")
    backend.metrics.children.children.labels("ready").set(1)
    return backend


@pytest.fixture
def url(backend: Remembering) -> Iterator[str]:
    with ControlServer(ListenAddress("127.0.0.1", 0), Guard(read_only=True), backend) as server:
        yield server.address.url


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["doctor", *arguments], prog_name="streamer", standalone_mode=False)
    if isinstance(done.exception, UsageError):
        return 2, str(done.exception)
    return int(done.return_value), done.output


def test_what_a_process_shows_is_read(backend: Remembering, url: str) -> None:
    asked = Asked(url)
    assert asked.readiness() == {"ready": True, "cause": None, "reason": None}
    assert [stream["stream"] for stream in asked.streams()] == ["door"]
    assert asked.scrape().total("streamer_frames_decoded_total", stream="door") == 0
    backend.ready = Readiness(ready=False, cause="draining", reason="it ends.")
    assert asked.readiness()["reason"] == "it ends."
    backend.error = Busy("later.")
    with pytest.raises(NotAsked, match="does not answer in time"):
        asked.streams()


def test_a_token_goes_along(backend: Remembering, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    with ControlServer(ListenAddress("127.0.0.1", 0), Guard(TOKEN), backend) as server:
        url = server.address.url
        assert Asked(url, token_of(str(file))).streams()
        with pytest.raises(NotAsked, match="--token-file"):
            Asked(url).streams()
        assert run("--at", url, "--for", "0.1", "--token-file", str(file))[0] == 0


def test_the_doctor_says_what_is_well_and_what_is_wrong(backend: Remembering, url: str) -> None:
    code, text = run("--at", url, "--for", "0.1")
    assert code == 0, text
    assert "1 of 1 streams are live" in text
    backend.ready = Readiness(ready=False, cause="models_loading", reason="no child is ready.")
    code, text = run("--at", url, "--for", "0.1", "--json")
    found: list[dict[str, Any]] = json.loads(text)
    assert code == 1
    assert found[0] == {
        "name": "ready",
        "verdict": "wrong",
        "detail": "it is not ready: no child is ready.",
        "stream": None,
    }


def test_where_nobody_answers_that_is_what_is_wrong() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        code, text = run("--at", url, "--for", "0.1")
    assert code == 1
    assert "nobody answers" in text


def test_another_server_is_none_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        import threading

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n<html>{")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NotAsked, match="is it an affect-streamer"):
            Asked(f"http://127.0.0.1:{server.getsockname()[1]}").readiness()
        thread.join()


@pytest.mark.parametrize("url", ["", "127.0.0.1:9180", "ftp://x", "http://", "http://h:99999", "http://u:geheim@h"])
def test_what_is_no_address_is_refused(url: str) -> None:
    code, text = run("--at", url)
    assert code == 2
    assert "http://HOST:PORT" in text
    assert "geheim" not in text


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    assert run("--at", "http://127.0.0.1:1", "--bus", "sqlite:///x.db")[0] == 2
    assert run("--token-file", "x")[0] == 2
    assert run("--at", "http://127.0.0.1:1", "--token-file", str(tmp_path / "none"))[0] == 2
