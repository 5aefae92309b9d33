"""What a person at a terminal sees: a live table while a run goes on, and its summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamer.messages import SourceResult

ProgressState = Literal[
    "waiting",
    "paused",
    "connecting",
    "live",
    "stalled",
    "backing_off",
    "ended",
    "failed",
    "running",
    "done",
    "interrupted",
]
REFRESH_PER_S = 4
MAX_ROWS = 30
_STYLES = {"failed": "red", "interrupted": "yellow", "stalled": "yellow", "backing_off": "yellow", "done": "green"}
_COLUMNS = ("stream", "position", "frames/s", "faces", "dropped", "speed", "state")
_NEEDS = {"stream": 0, "position": 0, "frames/s": 60, "faces": 78, "dropped": 78, "speed": 45, "state": 0}
"""From which width of the terminal on a column is shown."""
_GAP = 2


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """How far one stream is. `fps` is frames analysed per second now, `speed` media time against real time."""

    stream: str
    state: ProgressState = "waiting"
    position_s: float = 0.0
    duration_s: float | None = None
    decoded: int = 0
    analysed: int = 0
    faces: int = 0
    dropped: int = 0
    fps: float = 0.0
    speed: float = 0.0
    message: str | None = None

    @property
    def fraction(self) -> float | None:
        """How much of the duration is done, 0 to 1; None where there is no duration."""
        if not self.duration_s or self.duration_s <= 0:
            return None
        return min(1.0, max(0.0, self.position_s / self.duration_s))


class ProgressDisplay:
    """The live table. On anything but a terminal there is none, and every call but `say` does nothing.

    Owned by one thread; rich redraws from one of its own, at most `REFRESH_PER_S` times a second.
    """

    def __init__(self, console: Console, *, enabled: bool = True) -> None:
        self._rows: dict[str, StreamProgress] = {}
        self._console = console
        self._live: Live | None = None
        if enabled and console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(
                _Latest(lambda: tuple(self._rows.values())),
                console=console,
                refresh_per_second=REFRESH_PER_S,
                transient=True,
            )

    def __enter__(self) -> ProgressDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, streams: Iterable[StreamProgress]) -> None:
        """Take the newest counts; streams not named keep their last. Shown at the next redraw."""
        # A new dictionary, so that the redrawing thread never walks one that changes.
        self._rows = {**self._rows, **{row.stream: row for row in streams}}

    def say(self, sentence: str) -> None:
        """Print a sentence above the table, or where there would be one; from any thread."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the table and give the terminal back; may be called twice."""
        if self._live is not None:
            self._live.stop()


class _Latest:
    """Renders whatever is newest when rich redraws."""

    def __init__(self, rows: Callable[[], Sequence[StreamProgress]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(1, min(MAX_ROWS, console.size.height - 6))
        yield table(self._rows(), options.max_width, room, ascii_only=options.ascii_only)


def table(rows: Sequence[StreamProgress], width: int, max_rows: int = MAX_ROWS, *, ascii_only: bool = False) -> Table:
    """The streams as a table with a row of totals, `width` columns wide, with fewer columns where it is narrow.

    When there are more than `max_rows`, those that ended well are left out first, and the last row says how many.
    """
    shown = sorted(enumerate(rows), key=lambda pair: (pair[1].state in ("done", "ended"), pair[0]))[:max_rows]
    kept = [k for k, name in enumerate(_COLUMNS) if width >= _NEEDS[name]]
    lines = [list(_COLUMNS)]
    lines += [_cells(row, brief=width < _NEEDS["faces"], ascii_only=ascii_only) for _, row in sorted(shown)]
    if len(rows) > 1:
        lines.append(_totals(rows, len(rows) - len(shown)))
    widest = {k: max(cell_len(line[k]) for line in lines) for k in kept}
    first, last = kept[0], kept[-1]
    # Numbers are never cut; the name and the state share what they leave, and each gets what the other does not need.
    room = max(8, width - sum(widest[k] for k in kept[1:-1]) - _GAP * (len(kept) - 1))
    name_room = max(room // 2, room - widest[last])
    widest[first] = min(widest[first], name_room)
    widest[last] = max(1, min(widest[last], room - widest[first]))
    overflow: Literal["crop", "ellipsis"] = "crop" if ascii_only else "ellipsis"
    found = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for k in kept:
        justify: Literal["left", "right"] = "left" if k in (first, last) else "right"
        found.add_column(no_wrap=True, overflow=overflow, justify=justify, width=widest[k])
    styles = ["dim", *(row.state for _, row in sorted(shown)), "bold"]
    for line, style in zip(lines, styles, strict=False):
        whole = style if style in ("dim", "bold") else ""
        found.add_row(*(Text(line[k], style=_STYLES.get(style, "") if k == last else "") for k in kept), style=whole)
    return found


def _cells(row: StreamProgress, *, brief: bool, ascii_only: bool) -> list[str]:
    state = row.state.replace("_", " ") + (f": {row.message}" if row.message else "")
    return [
        printable(row.stream, ascii_only=ascii_only),
        _position(row, brief=brief),
        f"{row.fps:.0f}",
        f"{row.faces:,}",
        f"{row.dropped:,}",
        f"{row.speed:.1f}x",
        printable(state, ascii_only=ascii_only),
    ]


def _totals(rows: Sequence[StreamProgress], left_out: int) -> list[str]:
    states: dict[str, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
    return [
        f"{len(rows)} streams" + (f", {left_out} not shown" if left_out else ""),
        "",
        f"{sum(row.fps for row in rows):.0f}",
        f"{sum(row.faces for row in rows):,}",
        f"{sum(row.dropped for row in rows):,}",
        f"{sum(row.speed for row in rows):.1f}x",
        ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in states.items()),
    ]


def summary(results: Sequence[SourceResult], wall_s: float, where: Sequence[str] = ()) -> str:
    """The run in a few plain lines: what was read, how fast, what was dropped, `where` the results are.

    What failed is told by `unfinished`. Real time is the sum of all sources' media time over `wall_s`. What an
    earlier run had done is not counted.
    """
    done_before = sum(1 for result in results if result.done_before)
    results = [result for result in results if not result.done_before]
    media_s = sum(result.duration_s for result in results)
    lines = [
        f"{_many(len(results), 'source')}, {_many(_total(results, 'analysed'), 'frame')}, "
        f"{_many(_total(results, 'faces'), 'face observation')} in {_many(_total(results, 'tracks'), 'track')}, "
        f"{_many(_total(results, 'records'), 'record')}",
        f"{_seconds(media_s)} of video in {_seconds(wall_s)}"
        + (f", {media_s / wall_s:.1f}x real time" if wall_s > 0 and media_s > 0 else ""),
    ]
    drops: dict[str, int] = {}
    for result in results:
        for cause, n in result.dropped.items():
            drops[cause] = drops.get(cause, 0) + n
    if done_before:
        lines.append(
            f"{_many(done_before, 'source')} already on this bus, not analysed again (--run NAME analyses anew)"
        )
    if drops:
        lines.append("dropped: " + ", ".join(f"{n:,} {cause.replace('_', ' ')}" for cause, n in sorted(drops.items())))
    lines += [f"results: {printable(place)}" for place in where]
    return "\n".join(lines)


def unfinished(results: Sequence[SourceResult]) -> list[str]:
    """One sentence on each source that failed or was interrupted: its stream, why, and what is kept."""
    sentences = []
    for result in results:
        if result.state not in ("failed", "interrupted"):
            continue
        message = result.message or (_cause(result) if result.state == "failed" else _kept(result))
        # Most messages begin with the source's name, which often is the stream's.
        name = "" if result.state == "failed" and message.startswith(result.stream) else f"{result.stream}: "
        sentences.append(printable(f"{result.state}: {name}{' '.join(message.split())}"))
    return sentences


def printable(text: str, *, ascii_only: bool = False) -> str:
    """`text` as it can be shown anywhere: control characters and bytes that were no UTF-8 are written as escapes.

    A stream's name comes from outside; raw, it could move the cursor or hide what stands before it.
    """
    safe = text.encode("ascii" if ascii_only else "utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in safe)


def _position(row: StreamProgress, *, brief: bool) -> str:
    at = _seconds(row.position_s)
    if row.fraction is None or row.duration_s is None:
        return at
    percent = f"{100 * row.fraction:3.0f}%"
    return percent if brief else f"{at} / {_seconds(row.duration_s)} {percent}"


def _seconds(t_s: float) -> str:
    whole = int(t_s)
    if whole < 60:
        return f"{t_s:.1f} s"
    return (f"{whole // 3600}:" if whole >= 3600 else "") + (
        f"{whole // 60 % 60:02d}:{whole % 60:02d}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02d}"
    )


def _cause(result: SourceResult) -> str:
    return result.cause.replace("_", " ") if result.cause else "no cause is known; see the log"


def _kept(result: SourceResult) -> str:
    kept = f"stopped after {_seconds(result.duration_s)} of video, which is kept"
    return f"{kept}; the same command goes on there" if result.mode == "archive" else kept


def _total(results: Sequence[SourceResult], name: str) -> int:
    return sum(int(getattr(result, name)) for result in results)


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
