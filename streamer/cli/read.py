"""`streamer tail`, `streamer report`: what is on the bus, for eyes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from streamer.bus.open import open_bus
from streamer.bus.read import run_records
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.report import write_report
from streamer.tail import lines


@click.command(
    epilog="""\b
Examples:
  streamer tail observations
  streamer tail observations --stream carphone --from latest --follow
  streamer tail status --follow --bus kafka://localhost:9092
"""
)
@click.argument("name", metavar="NAME")
@bus_option
@config_option
@click.option("--follow", is_flag=True, help="Go on with what comes.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="latest: only what comes from now on, which needs --follow to see any.",
)
@click.option("--stream", metavar="ID", help="This stream only.")
@click.option("--meta", is_flag=True, help="Add topic, partition, offset, key and time under `_meta`.")
@click.option("--json", is_flag=True, expose_value=False, help="JSON lines: what is printed anyway.")
def tail(
    name: str,
    bus: str | None,
    config_path: Path | None,
    follow: bool,
    start: Literal["earliest", "latest"],
    stream: str | None,
    meta: bool,
) -> None:
    """Print records as JSON lines, with the records' own field names.

    NAME is observations, windows or tracks (the live and the archive topic together), or another topic by its short
    or full name: status, runs, deadletter, affect.archive.observations, ...
    """
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        for line in lines(
            opened, name, follow=follow, start=start, stream=stream, prefix=config.topics.prefix, meta=meta
        ):
            click.echo(line.encode())  # JSON is UTF-8 whatever the terminal's language is
    finally:
        opened.close()


@click.command(
    epilog="""\b
Example:
  streamer report --bus sqlite:///affect.db --out report.html
  streamer report first-run second-run --figures figures
"""
)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--out",
    "path",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page: one HTML file.",
)
@click.option(
    "--figures",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write the figures into this folder too, as PNG and SVG, for papers and slides.",
)
@bus_option
@config_option
@json_option
def report(
    runs: tuple[str, ...],
    path: Path,
    figures: Path | None,
    bus: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Write a page about finished runs: all on the bus, or those named.

    Files that several runs analysed are compared, face by face.
    """
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        known = [record.run for record in run_records(opened, config.topics.prefix)]
        chosen = tuple(dict.fromkeys(runs or known))
        written = write_report(opened, chosen, path, prefix=config.topics.prefix, figures=figures)
    finally:
        opened.close()
    for run in chosen:
        if run not in known:
            click.echo(
                f"streamer: nothing on this bus says how run {run} went: it is left out or shown in part", err=True
            )
    if figures is not None and not written.figures:
        click.echo("streamer: no face was found in these runs, so there are no figures", err=True)
    if as_json:
        told: dict[str, object] = {
            "report": str(path),
            "runs": list(written.runs),
            "observations": written.n_observations,
            "bytes": written.size_bytes,
            "skipped": written.skipped,
        }
        if figures is not None:
            told["figures"] = [str(figure) for figure in written.figures]
        click.echo(json.dumps(told))
        return
    click.echo(f"report    {path}")
    if written.figures:
        click.echo(f"figures   {figures}   ({len(written.figures)} files)")
