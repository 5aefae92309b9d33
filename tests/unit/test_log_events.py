"""The events that are logged are those of the list, and docs/logs.md says them all."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

from streamer.log_events import EVENTS, main, write_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "logs.md"
LEVELS = ("debug", "info", "warning", "error")


def logged() -> Iterator[tuple[str, str, str]]:
    """Each call of `log`: where, at which level, and the event; empty where it is not a plain text."""
    for path in sorted((ROOT / "streamer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "log" and node.func.attr in LEVELS:
                first = node.args[0]
                text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.func.attr, text


def test_every_event_is_in_the_list_at_its_level() -> None:
    calls = list(logged())
    assert len(calls) > 60
    for where, level, event in calls:
        assert event in EVENTS, f"{where}: {event!r}"
        assert level in EVENTS[event][0], f"{where}: {event} at {level}"


def test_nothing_is_in_the_list_that_is_never_logged() -> None:
    used = {(event, level) for _, level, event in logged()}
    listed = {(event, level) for event, (levels, _) in EVENTS.items() for level in levels}
    assert {event for event, _ in listed - used} == {"library.said"}  # at the level of whoever said it


def test_the_page_has_the_table_as_it_is(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert write_table(page) == page, "run `python -m streamer.log_events`"
    copy = tmp_path / "logs.md"
    shutil.copy(PAGE, copy)
    copy.write_text(copy.read_text().replace("child.died", "child.slept"))
    assert main([str(copy)]) == 0
    assert copy.read_text() == page
