"""`streamer tail`, `streamer export`, `streamer report`: what is on the bus, for eyes and for tools."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from streamer.bus.open import open_bus
from streamer.bus.read import run_records
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.export import Format, export_from_bus
from streamer.export.columns import Kind
from streamer.report import write_report
from streamer.tail import lines


@click.command(
    epilog="""\b
Examples:
  streamer tail observations
  streamer tail status --follow --bus kafka://localhost:9092
"""
)
@click.argument("name", metavar="NAME")
@bus_option
@config_option
@click.option("--follow", is_flag=True, help="Go on with what comes.")
@click.option("--from", "start", type=click.Choice(["earliest", "latest"]), default="earliest", show_default=True)
@click.option("--stream", metavar="ID", help="This stream only.")
@click.option("--meta", is_flag=True, help="Add topic, partition and offset under `_meta`.")
def tail(
    name: str,
    bus: str | None,
    config_path: Path | None,
    follow: bool,
    start: Literal["earliest", "latest"],
    stream: str | None,
    meta: bool,
) -> None:
    """Print records as JSON lines.

    NAME is observations, windows, tracks, status or runs (live and archive together), or a full topic name.
    """
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        for line in lines(
            opened, name, follow=follow, start=start, stream=stream, prefix=config.topics.prefix, meta=meta
        ):
            click.echo(line)
    finally:
        opened.close()


@click.command(
    epilog="""\b
Examples:
  streamer export --format csv --out observations.csv
  streamer export --format jsonl --out - --stream carphone
"""
)
@click.argument("kind", type=click.Choice(["observations", "windows", "tracks"]), default="observations")
@click.option("--format", "format_", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True)
@click.option("--out", required=True, metavar="FILE", help="A file, or - for standard output (csv, jsonl).")
@click.option("--stream", "streams", multiple=True, metavar="ID", help="This stream only; may be repeated.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="This run only; may be repeated.")
@bus_option
@config_option
def export(
    kind: Kind,
    format_: Format,
    out: str,
    streams: tuple[str, ...],
    runs: tuple[str, ...],
    bus: str | None,
    config_path: Path | None,
) -> None:
    """Write what is on the bus to a file: observations (one row a face and frame), windows or tracks."""
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        done = export_from_bus(
            opened,
            format_,
            "-" if out == "-" else Path(out),
            kind=kind,
            prefix=config.topics.prefix,
            streams=streams or None,
            runs=runs or None,
        )
    finally:
        opened.close()
    left_out = "".join(f", {n} {cause} left out" for cause, n in sorted(done.skipped.items()))
    click.echo(f"{done.rows} rows{left_out}", err=True)


@click.command(
    epilog="""\b
Example:
  streamer report --bus sqlite:///affect.db --out report.html
"""
)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--out", "path", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True)
@bus_option
@config_option
@json_option
def report(runs: tuple[str, ...], path: Path, bus: str | None, config_path: Path | None, as_json: bool) -> None:
    """Write a page about finished runs: all on the bus, or those named."""
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, create=False)
    try:
        chosen = runs or tuple(record.run for record in run_records(opened, config.topics.prefix))
        written = write_report(opened, chosen, path, prefix=config.topics.prefix)
    finally:
        opened.close()
    if as_json:
        import json

        click.echo(
            json.dumps({"report": str(path), "runs": list(written.runs), "observations": written.n_observations})
        )
    else:
        click.echo(f"report    {path}")
