"""What the experiment found: means and standard errors over seeds, paired differences, and how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from engines.evaluation.experiment import (
    CONDITIONS,
    EMA,
    FUSION,
    ROWS,
    Condition,
    Counts,
    PaperExperiment,
    SeedResult,
)
from engines.metrics import challenge_score
from engines.runtime.machine import machine_facts, versions_of
from engines.zoo.paper import ROWS as PAPER_ROWS

PACKAGES = ("affect-streamer", "numpy", "opencv-python-headless", "torch")
METRICS = ("challenge", "authors", "accuracy", "macro_f1", "valence", "arousal", "va")
_HEADED = {
    "challenge": "challenge's score",
    "authors": "authors' score",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "valence": "CCC valence",
    "arousal": "CCC arousal",
    "va": "mean CCC",
}
PAIRS = (("4", "2"), ("6", "4"), ("4", EMA), ("6", EMA))
_TITLES = {str(row.number): f"{row.number} {row.title}" for row in PAPER_ROWS} | {
    FUSION: "Fusion: average of the six",
    EMA: "2 Emotion VA Image, smoothed (EMA)",
}
_BOOTSTRAPS = 1000


def report(
    settings: PaperExperiment, results: Sequence[SeedResult], *, date: str, command: str, wall_s: float, processes: int
) -> dict[str, Any]:
    """Everything worth keeping, as plain values: the machine, the settings, every seed, and the `summary`."""
    data = settings.data
    return {
        "bench": "paper-synthetic",
        "date": date,
        "about": "drawn faces: a check of the training code, never evidence about people",
        "machine": machine_facts(),
        "versions": versions_of(PACKAGES),
        "command": command,
        "processes": processes,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(sum(one.cpu_s for one in results), 1),
        "settings": msgspec.to_builtins(settings),
        "n_test_people_a_seed": data.n_test_identities,
        "n_test_videos_a_seed": data.n_test_identities * data.videos_per_identity,
        "n_test_frames_a_seed": data.n_test_identities * data.videos_per_identity * data.frames_per_video,
        "seeds": [
            {
                "seed": one.seed,
                "cpu_s": round(one.cpu_s, 1),
                "backbone": vars(one.backbone),
                "best_epochs": one.best_epochs,
                "smoothing": {condition: vars(smoothing) for condition, smoothing in one.smoothing.items()},
            }
            for one in results
        ],
        **summary(results),
    }


def summary(results: Sequence[SeedResult]) -> dict[str, Any]:
    """`rows` and `differences` by condition, `holds` of what is to be shown; each number with its standard error.

    A standard error over seeds is None for one seed. Differences are paired by seed; of the challenge's score there
    is a second standard error, `se_people`, from resampling the test people within every seed.
    """
    rows: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for condition in CONDITIONS:
        rows[condition] = {
            row: {
                metric: _mean_and_error([_value(one, condition, row, metric) for one in results]) for metric in METRICS
            }
            for row in ROWS
        }
        differences[condition] = {
            f"{a} - {b}": {
                metric: _mean_and_error([_difference(one, condition, a, b, metric) for one in results])
                for metric in ("challenge", "authors", "va")
            }
            | {"se_people": _error_over_people(results, condition, a, b)}
            for a, b in PAIRS
        }
    return {"rows": rows, "differences": differences, "shown": _shown(differences)}


def table(found: dict[str, Any], condition: Condition) -> str:
    """The rows of one condition as Markdown, `mean ± standard error`; a dash where a model has no such output."""
    lines = ["| | " + " | ".join(_HEADED[metric] for metric in METRICS) + " |", "| --- " * (len(METRICS) + 1) + "|"]
    for row in ROWS:
        cells = [_cell(found["rows"][condition][row][metric]) for metric in METRICS]
        lines.append(f"| {_TITLES[row]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def difference_table(found: dict[str, Any]) -> str:
    """The paired differences of the challenge's score and of the mean CCC under both conditions, as Markdown."""
    lines = [
        "| difference | frames | challenge's score (se seeds; se people) | mean CCC (se seeds) |",
        "| --- | --- | --- | --- |",
    ]
    for pair in (f"{a} - {b}" for a, b in PAIRS):
        for condition in CONDITIONS:
            one = found["differences"][condition][pair]
            score, people, va = one["challenge"], one["se_people"], one["va"]
            told = f"{score['mean']:+.4f} ({_error(score)}; {people:.4f})"
            cells = (pair, condition.replace("_", " "), told, f"{va['mean']:+.4f} ({_error(va)})")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown(found: dict[str, Any]) -> str:
    """The tables of a `report`, what they are of, and what they show."""
    settings = found["settings"]
    seeds, data = settings["seeds"], settings["data"]
    parts = [
        "# The paper's models on drawn faces",
        f"`{found['command']}` on {found['date']}: {found['machine']['cpu']}, {found['machine']['cores']} cores; "
        f"{found['wall_s'] / 60:.0f} min with {found['processes']} processes of one thread, "
        f"{found['cpu_s'] / 60:.0f} min of CPU. Drawn faces, never evidence about people.",
        f"Means over {len(seeds)} seed{'s' if len(seeds) > 1 else ''} ± standard error, each seed with its own people; "
        f"noise {data['noise']:g}; tested on {found['n_test_videos_a_seed']} videos "
        f"({found['n_test_frames_a_seed']} frames) of {found['n_test_people_a_seed']} people a seed that nothing was "
        f"trained or chosen on. Heads of 2 x {settings['head_units']} units and an LSTM of {settings['lstm_units']} in "
        f"place of 1024.",
    ]
    for condition, heading in zip(CONDITIONS, ("Frames in time", "Frames of each video shuffled"), strict=True):
        parts += [f"**{heading}**", table(found, condition)]
    parts += ["**Paired differences**", difference_table(found)]
    parts.append("\n".join(f"- {text}: {_yes(holds)}" for text, holds in found["shown"].items()))
    return "\n\n".join(parts) + "\n"


def _shown(differences: dict[str, Any]) -> dict[str, bool | None]:
    """Whether a model is ahead by two standard errors over seeds; None where one seed has none."""
    told: dict[str, bool | None] = {}
    for pair in ("4 - 2", "6 - 4"):
        for condition in CONDITIONS:
            one = differences[condition][pair]["challenge"]
            ahead = None if one["se"] is None else bool(one["mean"] > 0 and one["mean"] >= 2 * one["se"])
            name = f"{pair} is 2 standard errors or more above zero with frames {condition.replace('_', ' ')}"
            told[name] = ahead
    return told


def _value(one: SeedResult, condition: Condition, row: str, metric: str) -> float | None:
    value: float | None = getattr(one.figures[condition][row], metric)
    return value


def _difference(one: SeedResult, condition: Condition, a: str, b: str, metric: str) -> float | None:
    ours, theirs = _value(one, condition, a, metric), _value(one, condition, b, metric)
    return None if ours is None or theirs is None else ours - theirs


def _mean_and_error(values: list[float | None]) -> dict[str, Any]:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return {"mean": None, "se": None, "by_seed": values}
    error = float(np.std(numbers, ddof=1) / np.sqrt(len(numbers))) if len(numbers) > 1 else None
    return {"mean": float(np.mean(numbers)), "se": error, "by_seed": numbers}


def _error_over_people(results: Sequence[SeedResult], condition: Condition, a: str, b: str) -> float:
    """The deviation of the mean difference when the people of each seed's test split are drawn anew, with return."""
    rng = np.random.default_rng(20)
    total = np.zeros(_BOOTSTRAPS)
    for one in results:
        ours, theirs = one.counts[condition][a], one.counts[condition][b]
        drawn = rng.integers(0, len(ours), (_BOOTSTRAPS, len(ours)))
        total += scores_of(ours[drawn].sum(1)) - scores_of(theirs[drawn].sum(1))
    return float((total / len(results)).std())


def scores_of(counts: Counts) -> Any:
    """The challenge's expression score of each of the confusions (K,7,7)."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    support = counts.sum(1) + counts.sum(2)
    f1 = np.where(support > 0, 2 * hits / np.maximum(support, 1), 0.0)
    macro = f1.sum(1) / np.maximum((support > 0).sum(1), 1)
    return challenge_score(macro, hits.sum(1) / np.maximum(counts.sum((1, 2)), 1))


def _cell(one: dict[str, Any]) -> str:
    if one["mean"] is None:
        return "-"
    return f"{one['mean']:.3f}" if one["se"] is None else f"{one['mean']:.3f} ± {one['se']:.3f}"


def _error(one: dict[str, Any]) -> str:
    return "one seed" if one["se"] is None else f"{one['se']:.4f}"


def _yes(holds: bool | None) -> str:
    return "one seed cannot tell" if holds is None else "yes" if holds else "no"
