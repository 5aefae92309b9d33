"""A judgement as Markdown, CSV and JSON: Tables II and III in the paper's layout, its numbers beside ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from engines.evaluation.judge import Judged, Judgement
from engines.evaluation.paper_tables import BASELINE, FUSION, TABLE_2, TABLE_3, PaperRow
from engines.spec import EXPRESSIONS

DASH = "-"
_COLUMNS = ("Acc.", "F1", "Expr. Score", "Aro.", "Val.", "VA Score")
_NOTE_2 = (
    "F1 is class-weighted and Expr. Score the authors' 0.66 F1 + 0.33 accuracy, as in the paper's table; Challenge is "
    "0.67 macro-F1 + 0.33 accuracy."
)
_NOTE_3 = (
    "F1 is macro-F1 and Expr. Score the challenge's 0.67 F1 + 0.33 accuracy, as in the paper's table; Authors' is 0.66 "
    "class-weighted F1 + 0.33 accuracy. The paper's row is of the test set, whose annotations are not public; ours is "
    "of the set named above."
)


def markdown(found: Judgement) -> str:
    """The whole report."""
    parts = [f"# {found.set_name}", _set_line(found)]
    for path in dict.fromkeys(one.path for one in found.judged):
        ones = [one for one in found.judged if one.path == path]
        engines = ", ".join(dict.fromkeys(one.engine for one in ones if one.name != FUSION))
        parts += [f"## {path.capitalize()} path ({engines})", _table_2(ones), _table_3(ones)]
        for one in ones:
            if one.figures.n_expression:
                parts.append(_classes(one))
    if found.agreements:
        parts.append(_agreement(found))
    return "\n\n".join(parts) + "\n"


def summary(found: Judgement) -> str:
    """What a terminal shows: the tables without classes."""
    parts = [_set_line(found)]
    for path in dict.fromkeys(one.path for one in found.judged):
        ones = [one for one in found.judged if one.path == path]
        parts += [f"{path} path", _table_2(ones), _table_3(ones)]
    if found.agreements:
        parts.append(_agreement(found))
    return "\n\n".join(parts)


def plain(found: Judgement) -> dict[str, Any]:
    """Everything but the answers themselves, as JSON takes it."""
    return {
        "set": found.set_name,
        "n_crops": found.n_crops,
        "n_videos": found.n_videos,
        "n_missing": found.n_missing,
        "models": [
            {
                "name": one.name,
                "number": one.number or None,
                "path": one.path,
                "engine": one.engine,
                "figures": {**asdict(one.figures), "score": one.figures.score},
                "classes": [asdict(figures) for figures in one.classes],
                "confusion": one.confusion.tolist(),
                "paper_table_2": _plain_row(_paper_2(one)),
            }
            for one in found.judged
        ],
        "agreement": [asdict(one) for one in found.agreements],
        "class_order": list(EXPRESSIONS),
    }


def figures_csv(found: Judgement) -> str:
    """One row a model and path."""
    text = io.StringIO()
    names = [*asdict(found.judged[0].figures), "score"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "number", "path", "engine", *names])
    for one in found.judged:
        values = {**asdict(one.figures), "score": one.figures.score}
        writer.writerow([one.name, one.number or "", one.path, one.engine, *(values[name] for name in names)])
    return text.getvalue()


def confusion_csv(found: Judgement) -> str:
    """One row a model, path and true expression; a column an answered one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "path", "truth", *EXPRESSIONS])
    for one in found.judged:
        for name, counts in zip(EXPRESSIONS, one.confusion.tolist(), strict=True):
            writer.writerow([one.name, one.path, name, *counts])
    return text.getvalue()


def write_report(found: Judgement, folder: Path) -> None:
    """`report.md`, `report.json`, `figures.csv` and `confusion.csv` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(markdown(found), encoding="utf-8")
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(plain(found)), indent=2) + b"\n")
    (folder / "figures.csv").write_text(figures_csv(found), encoding="utf-8")
    (folder / "confusion.csv").write_text(confusion_csv(found), encoding="utf-8")


def _set_line(found: Judgement) -> str:
    text = f"{found.n_crops:,} crops of {found.n_videos:,} videos."
    if found.n_missing:
        text += (
            f" {found.n_missing:,} more frames are annotated and have no crop: each has the answer of the frame before."
        )
    return text


def _paper_2(one: Judged) -> PaperRow | None:
    wanted = FUSION if one.name == FUSION else str(one.number)
    return next((row for row in TABLE_2 if row.model == wanted), None)


def _plain_row(row: PaperRow | None) -> dict[str, Any] | None:
    return None if row is None else asdict(row)


def _table_2(ones: Sequence[Judged]) -> str:
    header = ["Model", *(f"{name} {whose}" for name in _COLUMNS for whose in ("ours", "paper")), "Challenge", "ECE"]
    rows = [_row_2("[7]", None, next(row for row in TABLE_2 if row.model == BASELINE))]
    named = {one.number: one for one in ones if one.number}
    for row in TABLE_2[1:]:
        one = named.get(int(row.model)) if row.model != FUSION else next((x for x in ones if x.name == FUSION), None)
        rows.append(_row_2(row.model, one, row))
    # A model that is none of the paper's, or a second one of the same number, has a row of its own.
    shown = set(map(id, named.values()))
    rows[-1:-1] = [
        _row_2(one.name, one, PaperRow(one.name)) for one in ones if id(one) not in shown and one.name != FUSION
    ]
    return f"**Table II**, validation set. {_NOTE_2}\n\n" + _table(header, rows)


def _row_2(name: str, one: Judged | None, row: PaperRow) -> list[str]:
    ours = _ours(one, weighted=True)
    paper = (row.accuracy, row.f1, row.expression_score, row.arousal, row.valence, row.va_score)
    beside = [_number(value) for pair in zip(ours, paper, strict=True) for value in pair]
    figures = one.figures if one else None
    return [
        name,
        *beside,
        _number(figures.challenge if figures else None),
        _number(figures.calibration_error if figures else None),
    ]


def _table_3(ones: Sequence[Judged]) -> str:
    pairs = (f"{name} {whose}" for name in _COLUMNS for whose in ("ours", "paper"))
    header = ["Track", "Submission", "Model", *pairs, "Authors'"]
    named = {str(one.number): one for one in ones if one.number} | {one.name: one for one in ones if one.name == FUSION}
    rows = []
    for entry in TABLE_3:
        row, one = entry.row, named.get(entry.row.model)
        ours = _ours(one, weighted=False)
        # Track 1 is valence and arousal, track 2 expression.
        nothing: list[float | None] = [None] * 3
        ours = nothing + ours[3:] if entry.track == 1 else ours[:3] + nothing
        paper = (row.accuracy, row.f1, row.expression_score, row.arousal, row.valence, row.va_score)
        beside = [_number(value) for pair in zip(ours, paper, strict=True) for value in pair]
        authors = one.figures.authors if one and entry.track == 2 else None
        name = "[7]" if row.model == BASELINE else row.model
        number = DASH if entry.number is None else str(entry.number)
        rows.append([str(entry.track), number, name, *beside, _number(authors)])
    return f"**Table III**, test set. {_NOTE_3}\n\n" + _table(header, rows)


def _ours(one: Judged | None, *, weighted: bool) -> list[float | None]:
    if one is None:
        return [None] * 6
    own = one.figures
    expression = (own.weighted_f1, own.authors) if weighted else (own.macro_f1, own.challenge)
    return [own.accuracy, *expression, own.arousal, own.valence, own.va]


def _classes(one: Judged) -> str:
    title = f"**{one.name}**, by expression (rows are the truth, the last seven columns what was answered)"
    header = ["", "Precision", "Recall", "F1", "Frames", *EXPRESSIONS]
    rows = [
        [
            figures.name,
            f"{figures.precision:.3f}",
            f"{figures.recall:.3f}",
            f"{figures.f1:.3f}",
            str(figures.support),
            *map(str, counts),
        ]
        for figures, counts in zip(one.classes, one.confusion.tolist(), strict=True)
    ]
    return f"{title}\n\n{_table(header, rows)}"


def _agreement(found: Judgement) -> str:
    header = ["Model", "Same labels", "Largest difference of a probability", "of valence or arousal", "Bit for bit"]
    rows = [
        [
            one.name,
            f"{one.same_labels:.4f}",
            f"{one.worst_probability:.2e}",
            DASH if one.worst_va is None else f"{one.worst_va:.2e}",
            "yes" if one.bit_equal else "no",
        ]
        for one in found.agreements
    ]
    return "**Streaming against offline**\n\n" + _table(header, rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
