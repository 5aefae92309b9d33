"""The live display in a real terminal: there while a run goes on, gone when it ends; nothing of it in a pipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engines.zoo.sample import fetch_sample
from tests.product import streamer
from tests.terminal import Terminal, plain

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
BARS = "bars=testsrc://160x120@25?duration=3"


def shows_rates(text: str) -> bool:
    """Whether some redraw had the test source at work: position, frames a second, faces, dropped, speed, state."""
    return re.search(r"bars +\d\.\d s +[1-9]\d* +\d+ +\d+ +\d\.\dx +live", plain(text)) is not None


def told(lines: list[str]) -> list[str]:
    """What is told at the end; a machine that is too busy drops live frames, which is one line more."""
    return [line for line in lines if line.strip() and not line.startswith("dropped: ")]


def test_a_run_shows_its_streams_while_it_goes_on_and_leaves_the_terminal_clean(tmp_path: Path) -> None:
    # Long enough for a machine that is busy with the other one to redraw it now and then.
    terminal = Terminal("run", "bars=testsrc://160x120@25?duration=9", f"phone={fetch_sample()}", cwd=tmp_path)
    terminal.read_until(shows_rates)
    code, screen = terminal.close()
    assert code == 0
    shown = plain(terminal.text)
    header = next(line for line in shown.splitlines() if line.startswith("stream "))
    assert header.split() == ["stream", "position", "frames/s", "faces", "dropped", "speed", "state"]
    assert re.search(r"phone +\d\.\d s / 4\.\d s +[1-9]\d*% +\d+ +1 +0 +\d", shown)
    assert re.search(r"2 streams +\d+", shown)
    assert screen.cursor_is_shown
    left = told(screen.lines)
    assert len(left) == 3, left
    assert left[0].startswith("2 sources, ")
    assert "real time" in left[1]
    assert left[2] == "records   sqlite:///affect.db"


def test_interrupting_at_the_keyboard_drains_and_leaves_the_terminal_clean(tmp_path: Path) -> None:
    terminal = Terminal("run", "bars=testsrc://160x120@25?duration=60", cwd=tmp_path)
    terminal.read_until(lambda text: " live" in plain(text))
    terminal.type("\x03")
    code, screen = terminal.close()
    assert code == 130
    assert "Traceback" not in terminal.text
    assert screen.cursor_is_shown
    left = [line.strip("^C") for line in screen.lines if line.strip("^C \r")]
    assert not any("frames/s" in line for line in left)
    assert any(line.startswith("streamer: interrupted: bars: stopped after") for line in left), left


def test_nothing_of_it_where_nobody_can_look(tmp_path: Path) -> None:
    piped = streamer("run", BARS, cwd=tmp_path)
    assert (piped.returncode, piped.stderr) == (0, "")
    assert "\x1b" not in piped.stdout
    assert "frames/s" not in piped.stdout
    assert len(told(piped.stdout.splitlines())) == 3


@pytest.mark.parametrize(("options", "term"), [(["--quiet"], "xterm"), ([], "dumb")])
def test_nothing_of_it_when_it_is_not_wanted_or_cannot_be(options: list[str], term: str, tmp_path: Path) -> None:
    terminal = Terminal("run", "bars=testsrc://160x120@25?duration=1", *options, cwd=tmp_path, term=term)
    code, screen = terminal.close()
    assert code == 0
    assert "\x1b" not in terminal.text
    assert "frames/s" not in terminal.text
    assert bool(screen.lines[0]) == (not options)
