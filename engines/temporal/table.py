"""The table that decides: every answer on the judging simulator and on splices of real footage, with its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from engines.temporal.filters import REMAPPED
from engines.temporal.judging import Figures, judge
from engines.temporal.sequences import Floats, Sequences

Answer = Callable[[Sequences], Floats]
LEAST_GAIN = 0.03
LONGEST_DELAY = 4.0
BARE = "bare"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Means over seeds and their standard errors, of one answer."""

    name: str
    mean: Figures
    error: Figures


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the head must do to be the default; `where` says on which tracks."""

    where: str
    what: str
    found: str
    holds: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the table comes to: `default` is the name of the row that is shipped as the default; `best_filter` is the
    best of the others on simulated tracks, those left out that rest on a guess of the network's confusion."""

    default: str
    best_filter: str
    conditions: tuple[Condition, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows on the judging simulator and on splices, and the verdict; `filters` are the tuned ones' settings."""

    seeds: tuple[int, ...]
    tracks_per_seed: int
    observations: int
    simulated: tuple[Row, ...]
    spliced: tuple[Row, ...]
    verdict: Verdict
    filters: Mapping[str, Mapping[str, object]] = msgspec.field(default_factory=dict)


def rows_of(answers: Mapping[str, Answer], sets: Sequence[Sequences]) -> tuple[Row, ...]:
    """A row for each answer over sets of tracks, one a seed."""
    rows = []
    for name, answer in answers.items():
        each = [msgspec.structs.astuple(judge(answer(tracks), tracks)) for tracks in sets]
        figures = np.asarray(each, np.float64)
        error = figures.std(0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.zeros(figures.shape[1])
        rows.append(Row(name=name, mean=_figures(figures.mean(0)), error=_figures(error)))
    return tuple(rows)


def verdict_of(simulated: Sequence[Row], spliced: Sequence[Row], head: str) -> Verdict:
    """Whether the head is the default: by the rows on simulated tracks and by those on splices, each by itself.

    It is when in both it beats the best of all others in score by LEAST_GAIN, follows a change within LONGEST_DELAY
    observations in the median, misses no more changes than that best one, and gives the truth at least the
    likelihood that the bare net does. Otherwise the filter that is best on simulated tracks is, of those that
    take the network at its word: a remapped one moves labels of single frames by a confusion that was guessed, which
    the head is held against all the same, but which nobody should be given unasked.
    """
    conditions = (*_conditions("simulated", simulated, head), *_conditions("spliced", spliced, head))
    best = _best_other([row for row in simulated if not row.name.endswith(REMAPPED)], head).name
    won = all(condition.holds for condition in conditions)
    return Verdict(default=head if won else best, best_filter=best, conditions=conditions)


def _best_other(rows: Sequence[Row], head: str) -> Row:
    return max((row for row in rows if row.name != head), key=lambda row: row.mean.score)


def _conditions(where: str, rows: Sequence[Row], head: str) -> tuple[Condition, ...]:
    by_name = {row.name: row.mean for row in rows}
    own, bare = by_name[head], by_name[BARE]
    row = _best_other(rows, head)
    best, other = row.name, row.mean
    return (
        Condition(
            where=where,
            what=f"score at least {LEAST_GAIN} above {best}",
            found=f"{own.score:.3f} against {other.score:.3f}",
            holds=own.score - other.score >= LEAST_GAIN,
        ),
        Condition(
            where=where,
            what=f"median delay at most {LONGEST_DELAY:g} observations",
            found=f"{own.delay:.1f}",
            holds=own.delay <= LONGEST_DELAY,
        ),
        Condition(
            where=where,
            what=f"no more changes missed than by {best}",
            found=f"{own.missed:.3f} against {other.missed:.3f}",
            holds=own.missed <= other.missed,
        ),
        Condition(
            where=where,
            what="a likelihood no worse than the temperature-scaled bare net's (NLL)",
            found=f"{own.nll:.3f} against {bare.nll:.3f}",
            holds=own.nll <= bare.nll,
        ),
    )


_Column = tuple[str, str, Literal[0, 1, 2, 3]]
_COLUMNS: tuple[_Column, ...] = (
    ("score", "score", 3),
    ("macro_f1", "macro-F1", 3),
    ("accuracy", "accuracy", 3),
    ("nll", "NLL", 3),
    ("changes_per_min", "label changes a minute", 1),
    ("missed", "changes missed", 3),
    ("delay", "median delay", 2),
)


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table: mean ± standard error."""
    lines = ["| answer | " + " | ".join(title for _, title, _ in _COLUMNS) + " |"]
    lines.append("|---|" + "---:|" * len(_COLUMNS))
    for row in rows:
        cells = [f"{getattr(row.mean, key):.{n}f} ± {getattr(row.error, key):.{n}f}" for key, _, n in _COLUMNS]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    true = rows[0].mean.true_changes_per_min
    return "\n".join(lines) + f"\n\nThe truth changes {true:.1f} times a minute.\n"


def _figures(values: np.ndarray) -> Figures:
    return Figures(**dict(zip(Figures.__struct_fields__, (float(value) for value in values), strict=True)))
