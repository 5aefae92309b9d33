"""`engines evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from engines.cli.output import say_json

if TYPE_CHECKING:
    from engines.data import DataConfig


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="YAML with one set, or a list of sets, as in a run's `data`; the first model's validation sets otherwise.",
)
@click.option("--fusion", is_flag=True, help="Also the average of all the models' answers.")
@click.option(
    "--path", type=click.Choice(["offline", "streaming", "both"]), default="offline", show_default=True,
    help="offline: whole videos; streaming: frame by frame with carried state.",
)  # fmt: skip
@click.option("--precision", default="auto", show_default=True, help="What exported models run in.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write Markdown, CSV and JSON here.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def evaluate(
    models: tuple[Path, ...],
    data: Path | None,
    fusion: bool,
    path: Literal["offline", "streaming", "both"],
    precision: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Tables II and III of the paper for models in training folders or exported ones.

    Example: engines evaluate runs/paper-2 runs/paper-4 runs/paper-6 --fusion --path both --out tables
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from engines.evaluation.judge import PathName, judge_models, open_judged_set
    from engines.evaluation.report import plain, summary, write_report

    paths: tuple[PathName, ...] = ("offline", "streaming") if path == "both" else (path,)
    held_out = open_judged_set(_sets(models, data))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        found = judge_models(
            models,
            held_out,
            paths=paths,
            fusion=fusion,
            precision=precision,
            progress=lambda name, done, total: bar.update(task, description=name, completed=done, total=total),
        )
    if out is not None:
        write_report(found, out)
    if as_json:
        say_json(plain(found))
        return
    click.echo(summary(found))
    if out is not None:
        click.echo(f"\n{out / 'report.md'} has the figures of every class; tables and matrices are beside it.")


def _sets(models: tuple[Path, ...], data: Path | None) -> tuple[DataConfig, ...]:
    """The sets that `--data` names, or those the first training folder was validated on."""
    from engines.errors import WrongUse
    from engines.evaluation.sets import read_sets
    from engines.training.folder import is_training_folder, read_config

    if data is not None:
        return read_sets(data)
    trained = next((folder for folder in models if is_training_folder(folder)), None)
    if trained is None:
        raise WrongUse("an exported folder does not say what to judge it by: name the set with --data")
    return read_config(trained).data.validation
