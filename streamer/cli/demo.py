"""`streamer demo`: real models, a real face in a real video, a page to look at."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

import click

from engines.zoo.sample import fetch_sample
from streamer.cli.options import folder_for_output, json_option, settings
from streamer.cli.running import exit_code, outcome_as_json, run_config, tell


@click.command(
    epilog="""\b
Example:
  streamer demo --out demo-output
"""
)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="The folder for records and report; those of an earlier demo in it are replaced.",
)
@json_option
def demo(folder: Path, as_json: bool) -> int:
    """Pull the default models and a sample clip, analyse it, and write records and a report to look at."""
    folder_for_output(folder)
    clip = fetch_sample(progress=lambda text: click.echo(text, err=True))
    database, page = folder / "affect.db", folder / "report.html"
    for stale in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        stale.unlink(missing_ok=True)
    address = f"sqlite:///{quote(str(database))}"
    config = settings(None, bus=address, sources=[f"carphone={clip}"])
    outcome = run_config(config, None, page, quiet=as_json)
    if as_json:
        click.echo(json.dumps(outcome_as_json(outcome, config, page)))
        return exit_code(outcome)
    tell(outcome)
    click.echo(f"records   {database}   ({_program()} tail observations --bus {address})")
    if outcome.runs:
        click.echo(f"report    {page}   (open it in a browser)")
    return exit_code(outcome)


def _program() -> str:
    """This command as it can be typed here: where `make` did the set-up it is not on the search path."""
    if shutil.which("streamer"):
        return "streamer"
    return sys.argv[0] if Path(sys.argv[0]).name == "streamer" else f"{sys.executable} -m streamer"
