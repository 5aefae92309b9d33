"""What `streamer bench hostile` gave."""

from __future__ import annotations

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, number, table, words


def ends(result: Result) -> str:
    """What came of the files; `bad` is a crash, a hang, an error that is not ours, or too much memory."""
    rows = [(words(end), number(n)) for end, n in _ends(result).items()]
    return table(("what came of it", f"of {number(result['files'])} files"), rows)


def chart(result: Result) -> str:
    """The same as bars."""
    rows = [(words(end), [n]) for end, n in _ends(result).items()]
    return bars("What came of spoilt files", rows, digits=0)


def _ends(result: Result) -> dict[str, int]:
    return {**result["ends"], "bad": result["ends"].get("bad", 0)}
