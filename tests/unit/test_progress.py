from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from streamer.messages import SourceResult
from streamer.progress import (
    ProgressDisplay,
    StreamProgress,
    printable,
    summary,
    table,
    unfinished,
)
from tests.synthetic_run import make_run

ROWS = (
    StreamProgress("lobby", "running", 12.5, 20.0, 313, 312, 2, 1, 155.4, 6.2),
    StreamProgress("door", "backing_off", 3723.0, None, 90, 90, 0, 0, 0.0, 0.0, "no answer; next try in 4 s"),
)


def shown(rows: tuple[StreamProgress, ...], width: int, max_rows: int = 30) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    with console.capture() as captured:
        console.print(table(rows, width, max_rows))
    return captured.get()


def test_the_table_says_where_each_stream_is() -> None:
    text = shown(ROWS, 120)
    lobby = next(line for line in text.splitlines() if line.startswith("lobby"))
    assert "12.5 s / 20.0 s  62%" in lobby, text
    assert lobby.split()[-6:] == ["62%", "155", "2", "1", "6.2x", "running"]
    door = next(line for line in text.splitlines() if line.startswith("door"))
    assert "1:02:03" in door
    assert "backing off: no answer; next try in 4 s" in door
    assert "%" not in door


def test_totals_add_up() -> None:
    total = shown(ROWS, 120).splitlines()[-1].split()
    assert total[:2] == ["2", "streams"]
    assert "155" in total
    assert "6.2x" in total
    assert total[-5:] == ["1", "running,", "1", "backing", "off"]


@pytest.mark.parametrize("width", [30, 40, 60, 70, 80, 99, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = (*ROWS, StreamProgress("a very long name of a stream " * 9, "running", 1.0, 2.0, message="why " * 60))
    lines = shown(long, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 1 + len(long) + 1, "each stream keeps one line"


def test_many_streams_show_the_unfinished_first() -> None:
    done = tuple(StreamProgress(f"done-{k}", "done") for k in range(40))
    text = shown((*done, StreamProgress("late", "running")), 110, max_rows=10)
    assert "late" in text
    assert "41 streams, 31 not shown" in text


def test_nothing_is_printed_where_there_is_no_terminal() -> None:
    into = io.StringIO()
    with ProgressDisplay(Console(file=into, force_terminal=False)) as display:
        display.update(ROWS)
    display.close()
    assert into.getvalue() == ""


def test_a_terminal_gets_the_table_and_is_left_clean() -> None:
    into = io.StringIO()
    console = Console(file=into, force_terminal=True, width=100, height=20, legacy_windows=False)
    with ProgressDisplay(console) as display:
        display.update(ROWS)
    display.close()
    assert "lobby" in into.getvalue()
    assert into.getvalue().rstrip("\n").endswith("\x1b[2K"), "the table is erased when the run ends"


def test_updates_of_some_streams_keep_the_others() -> None:
    into = io.StringIO()
    with ProgressDisplay(Console(file=into, force_terminal=True, width=100, height=20)) as display:
        display.update(ROWS)
        display.update([StreamProgress("lobby", "done", 20.0, 20.0)])
    last = into.getvalue().split("stream ")[-1]
    assert "20.0 s / 20.0 s 100%" in last
    assert "door" in last


@pytest.mark.parametrize("name", ["\x1b[2Jgone", "line\nbreak", "\udcff\udc80.mp4", "\u202egnp.4pm", "[red]x[/]"])
def test_names_from_outside_are_shown_harmlessly(name: str) -> None:
    text = shown((StreamProgress(name, "running"),), 120)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 2
    text.encode("utf-8")
    assert printable(name) in text


def test_an_ascii_terminal_gets_no_exception() -> None:
    raw = io.BytesIO()
    into = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    console = Console(file=into, force_terminal=True, width=100)
    with ProgressDisplay(console) as display:
        display.update((*ROWS, StreamProgress("tür " * 40, "running")))
    into.flush()
    assert b"t\\xfcr" in raw.getvalue()


def test_the_summary_is_plain_and_short() -> None:
    results = make_run().run.sources
    failed = SourceResult(
        stream="broken.mp4",
        source="broken.mp4",
        state="failed",
        mode="archive",
        cause="truncated",
        message="ends at\n 3 s",
    )
    text = summary((*results, failed), 3.2, ["sqlite:///affect.db", "report.html"])
    assert text.splitlines() == [
        "3 sources, 1,000 frames, 1,260 face observations in 3 tracks, 1,260 records",
        "40.0 s of video in 3.2 s, 12.5x real time",
        "dropped: 2 decode error",
        "results: sqlite:///affect.db",
        "results: report.html",
    ]
    assert unfinished((*results, failed)) == ["failed: broken.mp4: ends at 3 s"]


def test_a_summary_of_nothing_divides_by_nothing() -> None:
    assert summary((), 0.0).splitlines()[0] == "0 sources, 0 frames, 0 face observations in 0 tracks, 0 records"


def test_a_failure_without_message_names_its_cause() -> None:
    failed = SourceResult(stream="x", source="x", state="failed", mode="archive", cause="no_video_stream")
    assert unfinished([failed]) == ["failed: x: no video stream"]


def test_a_message_that_names_its_stream_is_not_headed_by_it_again() -> None:
    failed = SourceResult(
        stream="a.mp4", source="/v/a.mp4", state="failed", mode="archive", message="a.mp4 does not exist: check it."
    )
    assert unfinished([failed]) == ["failed: a.mp4 does not exist: check it."]


def test_an_interrupted_source_says_what_is_kept_and_who_goes_on() -> None:
    stopped = SourceResult(stream="x", source="x", state="interrupted", mode="archive", duration_s=2.5)
    assert unfinished([stopped]) == [
        "interrupted: x: stopped after 2.5 s of video, which is kept; the same command goes on there"
    ]
    assert "same command" not in unfinished([msgspec.structs.replace(stopped, mode="live")])[0]


def test_what_was_done_before_is_said_and_not_counted() -> None:
    done = SourceResult(
        stream="x", source="x", state="done", mode="archive", duration_s=60.0, analysed=1500, done_before=True
    )
    said = summary([done], 1.0)
    assert "1 source already on this bus" in said
    assert "0 frames" in said
    assert "real time" not in said


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sentence_is_printed_as_it_is_with_or_without_a_table(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=40, color_system=None)
    sentence = "streamer: [bold]door[/bold]: no answer from the camera in the yard. It is tried again."
    with ProgressDisplay(console) as display:
        display.update(ROWS)
        display.say(sentence)
    assert sentence in file.getvalue()  # neither read as markup nor broken into lines
