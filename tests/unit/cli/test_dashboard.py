"""What `streamer dashboard` says to wrong use; what it shows is tried in a browser."""

from __future__ import annotations

import builtins
import json
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from streamer.cli import _run
from tests.product import start, streamer


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen", "nowhere:x"], "dashboard.address must be PORT or HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "no address to listen at"),
        (["--listen", "0.0.0.0:0"], "set a token (STREAMER_DASHBOARD_TOKEN or dashboard.token_file)"),
        (["--token-file", "/nowhere/token"], "cannot be read"),
        (["--bus", "ftp://somewhere"], "must begin with sqlite:// or kafka://"),
        (["--bus", "sqlite://"], "sqlite:///relative.db"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMER_DASHBOARD_TOKEN", raising=False)
    assert _run(["dashboard", *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_without_its_extra_it_tells_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("nicegui", "uvicorn", "fastapi"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.delitem(sys.modules, "streamer.web.serve", raising=False)
    assert _run(["dashboard", "--listen", "0"]) == 2
    assert capsys.readouterr().err == ("streamer: the dashboard needs its extra: pip install 'affect-streamer[web]'\n")


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = streamer("dashboard", "--listen", str(taken.getsockname()[1]), cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot listen at 127.0.0.1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_scripts_are_told_its_address(tmp_path: Path) -> None:
    process = start("dashboard", "--listen", "0", "--json", cwd=tmp_path)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", told["dashboard"])
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")
