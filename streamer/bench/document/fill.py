"""A document whose tables are made from the results beside it: what is between the marks is nobody's to write."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from streamer.bench.document.known import BLOCKS, CHARTS
from streamer.bench.document.markdown import Result
from streamer.errors import UsageError

_MARKED = re.compile(
    r"(?P<begin>^<!-- begin (?P<name>[^>]+?) -->\n)(?P<inside>.*?)(?P<end>^<!-- end (?P=name) -->$)",
    re.MULTILINE | re.DOTALL,
)
_BEGIN = re.compile(r"^<!-- begin ([^>]+?) -->$", re.MULTILINE)
NOTHING = "*Not measured yet.*"
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Made:
    """A document anew, the pictures by file name, and what is not in it: results without a table."""

    text: str
    pictures: Mapping[str, str]
    left_out: tuple[str, ...]


def results_in(folder: Path) -> dict[str, Result]:
    """The results of a folder by their names. Raises `UsageError` for a file that is none."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: name the one with the results")
    found: dict[str, Result] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            name = result["bench"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no result of a benchmark ({type(error).__name__}: {error})") from error
        if name != path.stem:
            raise UsageError(f"{path} is the result of {name!r}: call the file {name}.json")
        found[name] = result
    return found


def made(text: str, results: Mapping[str, Result], folder: str) -> Made:
    """`text` with its tables made of `results`, which lie in `folder` as seen from the document."""
    shown: set[str] = set()

    def filled(match: re.Match[str]) -> str:
        name = match["name"]
        block = BLOCKS.get(name)
        if block is None:
            raise UsageError(f"there is no table {name!r}: choose one of {', '.join(BLOCKS)}")
        there = {one: results[one] for one in block.results if one in results}
        shown.update(there)
        inside = _block(name, there, folder) if there else NOTHING
        return f"{match['begin']}{inside}\n{match['end']}"

    whole = _MARKED.sub(filled, text)
    for name in _BEGIN.findall(text):
        if f"<!-- end {name} -->" not in text:
            raise UsageError(f"the table {name!r} has no end: write <!-- end {name} --> behind it")
    return Made(whole, pictures(results), tuple(name for name in results if name not in shown))


def seen_from(document: Path, folder: Path) -> str:
    """The folder as links in the document name it."""
    return Path(os.path.relpath(folder.resolve(), document.resolve().parent)).as_posix()


def stale(document: Path, folder: Path, made: Made) -> dict[Path, str]:
    """The files that are not as they were made, with what should be in them."""
    wanted = {document: made.text} | {folder / name: picture for name, picture in made.pictures.items()}
    return {path: content for path, content in wanted.items() if not _holds(path, content)}


def pictures(results: Mapping[str, Result]) -> dict[str, str]:
    """The picture of each result that has one, by file name."""
    return {f"{name}.svg": _guarded(name, CHARTS[name], result) for name, result in results.items() if name in CHARTS}


def _holds(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == content


def _block(name: str, there: Mapping[str, Result], folder: str) -> str:
    table = _guarded(", ".join(there), BLOCKS[name].make, there)
    return f"{table}\n\n{_origin(there, folder)}"


def _origin(there: Mapping[str, Result], folder: str) -> str:
    """Where the figures are from: files and pictures; when, and on which machine, said once where it is the same."""
    groups: dict[str, list[str]] = {}
    for name, result in there.items():
        links = f"[{name}.json]({folder}/{name}.json)"
        if name in CHARTS:
            links += f" ([picture]({folder}/{name}.svg))"
        groups.setdefault(_where(result), []).append(links)
    return "\n\n".join(f"From {', '.join(links)}: {where}." for where, links in groups.items())


def _where(result: Result) -> str:
    facts = result["machine"]
    memory = f", {facts['memory_gib']} GiB" if "memory_gib" in facts else ""
    return f"{result['date']}, {facts['cpu']}, {facts['cores']} cores{memory}"


def _guarded(name: str, make: Callable[[Given], str], given: Given) -> str:
    try:
        return make(given)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UsageError(
            f"{name}.json is not as this version writes it ({type(error).__name__}: {error}): measure it again"
        ) from error
