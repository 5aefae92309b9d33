"""`streamer demo`: real models, a real face in a real video, a page to look at."""

from __future__ import annotations

from pathlib import Path

import click

from engines.zoo.sample import fetch_sample
from streamer.cli.options import settings
from streamer.cli.run import exit_code, run_config
from streamer.progress import summary


@click.command(
    epilog="""\b
Example:
  streamer demo --out demo-output
"""
)
@click.option("--out", "folder", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True)
def demo(folder: Path) -> int:
    """Pull the default models and a sample clip, analyse it, and write records and a report to look at."""
    clip = fetch_sample(progress=lambda text: click.echo(text, err=True))
    folder.mkdir(parents=True, exist_ok=True)
    database, page = folder / "affect.db", folder / "report.html"
    for stale in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        stale.unlink(missing_ok=True)
    config = settings(None, bus=f"sqlite:///{database}", sources=[f"carphone={clip}"])
    outcome = run_config(config, None, page)
    click.echo(summary(outcome.results, outcome.wall_s))
    click.echo(f"records   {database}   (streamer tail observations --bus sqlite:///{database})")
    click.echo(f"report    {page}   (open it in a browser)")
    return exit_code(outcome)
