"""Judges what was made: every row of the table on the same sets, the head through the product's own engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engines.temporal.filters import Filter, run_filter
from engines.temporal.making import Made, load_made
from engines.temporal.residuals import SPLICE_TRACKS, load_tracks
from engines.temporal.running import answers_with, open_for_tracks
from engines.temporal.sequences import Floats, Sequences
from engines.temporal.simulator import JUDGING, simulate
from engines.temporal.splices import spliced, stretches_of
from engines.temporal.table import Answer, Table, markdown, rows_of, verdict_of
from engines.zoo import load_head

HEAD_ROW = "temporal head"
FIRST_SEED = 1000
"""Far from those of training: the sets of the judge were never trained or tuned on."""


def judge_folder(folder: Path, *, seeds: int = 8, tracks: int = 100, observations: int = 400) -> Table:
    """The table for the head and the filters that `engines temporal train` wrote into `folder`."""
    made = load_made(folder)
    return judge_head(folder / "temporal.json", made, seeds=seeds, tracks=tracks, observations=observations)


def judge_head(
    described: Path | str, made: Made, *, seeds: int, tracks: int, observations: int, cache: Path | None = None
) -> Table:
    """The table for a head (a shipped one's name, or its head.json) and the filters tuned beside it."""
    spec, network = load_head(described)
    runner = open_for_tracks(network, spec, cache)
    numbers = tuple(range(FIRST_SEED, FIRST_SEED + seeds))
    try:
        answers: dict[str, Answer] = {one.name: _answer(one) for one in made.filters}
        answers[HEAD_ROW] = answers_with(runner, spec)
        simulated = [simulate(JUDGING, tracks, observations, np.random.default_rng((seed, 1))) for seed in numbers]
        stretches = stretches_of(load_tracks(SPLICE_TRACKS))
        splices = [spliced(stretches, tracks, observations, np.random.default_rng((seed, 2))) for seed in numbers]
        rows, spliced_rows = rows_of(answers, simulated), rows_of(answers, splices)
        return Table(
            seeds=numbers,
            tracks_per_seed=tracks,
            observations=observations,
            simulated=rows,
            spliced=spliced_rows,
            verdict=verdict_of(rows, spliced_rows, HEAD_ROW),
            filters=_settings(made),
        )
    finally:
        runner.close()


def table_markdown(table: Table) -> str:
    """The table for people: both halves and the verdict."""
    size = f"{len(table.seeds)} seeds of {table.tracks_per_seed} tracks of {table.observations} observations"
    verdict = "\n".join(
        f"- {condition.where}: {condition.what}: {condition.found}: {'yes' if condition.holds else 'NO'}"
        for condition in table.verdict.conditions
    )
    tuned = "\n".join(f"- {name}: {_said(settings)}" for name, settings in table.filters.items())
    return (
        f"## The judging simulator\n\nMeans and standard errors over {size}.\n\n{markdown(table.simulated)}\n"
        f"## Splices of real footage\n\nThe same, for real tracks joined at will.\n\n{markdown(table.spliced)}\n"
        f"## What decides\n\n{verdict}\n\nThe default: **{table.verdict.default}**.\n\n"
        f"## The filters, as tuned on the training simulator\n\n{tuned}\n"
    )


def _answer(one: Filter) -> Answer:
    def answer(of: Sequences) -> Floats:
        return run_filter(one, of)

    return answer


def _settings(made: Made) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in made.filters:
        plain = msgspec.to_builtins(one)
        found[one.name] = {key: value for key, value in plain.items() if key not in ("remap", "type")}
    return found


def _said(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "nothing to tune"
