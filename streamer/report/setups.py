"""How the runs went, and what they ran with: runs of one set-up are told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamer.messages import RunRecord
from streamer.report import summary


def alike(runs: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Runs of the same models, settings and machine together (each archive file is a run of its own), in order."""
    groups: list[list[RunRecord]] = []
    for run in runs:
        for group in groups:
            if setup_of(group[0]) == setup_of(run):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def setup_of(run: RunRecord) -> tuple[object, ...]:
    """All that makes two runs' figures comparable, as one value."""
    return (
        run.models,
        run.licences,
        run.precision,
        run.va_origin,
        run.calibration,
        run.settings,
        run.machine,
        run.software,
    )


def account(runs: Sequence[RunRecord], found: Sequence[summary.SourceFacts]) -> dict[str, Any]:
    """How runs of one set-up went: models with their licences, stages, sources."""
    setup = runs[0]
    names = {run.run for run in runs}
    results = [result for run in runs for result in run.sources]
    # Each record carries the time of its whole invocation, so that adding them up would count it several times.
    stages = max((run.stage_s for run in runs), key=lambda one: sum(one.values()))
    total_s = sum(stages.values())
    analysed = sum(result.analysed for result in results)
    licensed = set()
    models = []
    for role, model in setup.models.items():
        key = next((k for k in (role, model, model.split("@")[0]) if k in setup.licences), None)
        licensed.add(key)
        licence = setup.licences[key] if key else None if model == "none" else "not recorded"
        models.append({"role": role, "model": model, "licence": licence})
    ended = [run.finished_s for run in runs if run.finished_s is not None]
    started_s = min(run.started_s for run in runs)
    return {
        "runs": runs,
        "setup": setup,
        "started": utc(started_s),
        "took_s": max(ended) - started_s if len(ended) == len(runs) else None,
        "models": models,
        "machine": [_fact(name, value) for name, value in setup.machine.items()],
        "licences": {name: text for name, text in setup.licences.items() if name not in licensed},
        "stages": [
            {
                "name": stage,
                "used_s": used_s,
                "fraction": used_s / total_s if total_s else 0.0,
                "per_frame_ms": 1000 * used_s / analysed if analysed else None,
            }
            for stage, used_s in stages.items()
        ],
        "total_s": total_s,
        "sources": [source for source in found if source.run in names and source.result is not None],
    }


def _fact(name: str, value: str) -> tuple[str, str]:
    """A fact of the machine as people write it: `memory_gib: 23.5` is Memory, 23.5 GiB."""
    if name.endswith("_gib"):
        name, value = name.removesuffix("_gib"), f"{value} GiB"
    words = name.replace("_", " ")
    return (words.upper() if words in ("cpu", "gpu") else words[:1].upper() + words[1:]), value


def utc(time_s: float) -> str:
    """A date and a time people read."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Way:
    """A way of analysing: models, precision and settings. `letter` stands for it, `name` says what differs."""

    letter: str
    name: str
    runs: frozenset[str]


def ways(runs: Sequence[RunRecord]) -> list[Way]:
    """The different ways of analysing among `runs`, in the order they were first used."""
    groups: list[list[RunRecord]] = []
    for run in runs:
        for group in groups:
            if _facts(group[0]) == _facts(run):
                group.append(run)
                break
        else:
            groups.append([run])
    facts = [_facts(group[0]) for group in groups]
    keys = dict.fromkeys(key for one in facts for key in one)
    differing = [key for key in keys if len({one.get(key, "") for one in facts}) > 1]
    named = [key for key in differing if not key.startswith(("setting ", "calibration"))] or differing
    return [
        Way(_letter(k), _words(one, named), frozenset(run.run for run in group))
        for k, (one, group) in enumerate(zip(facts, groups, strict=True))
    ]


def _facts(run: RunRecord) -> dict[str, str]:
    return {
        **run.models,
        "precision": run.precision,
        "calibration": run.calibration,
        **{f"setting {name}": value for name, value in run.settings.items()},
    }


def _words(facts: dict[str, str], keys: Sequence[str]) -> str:
    if not keys:
        keys = ["expression"]
    short = {key: facts.get(key, "").split("@")[0] or "unknown" for key in keys}
    words = [text if key == "expression" else f"{key.removeprefix('setting ')} {text}" for key, text in short.items()]
    return ", ".join(word if len(word) <= 60 else word[:59] + "…" for word in words[:4])


def _letter(k: int) -> str:
    """A, B, ..., Z, A2, B2, ..."""
    return chr(ord("A") + k % 26) + (str(k // 26 + 1) if k >= 26 else "")
