"""`streamer tail`, `streamer export`, `streamer report`: what is on the bus, for eyes and for tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from streamer.bus.open import open_bus
from streamer.bus.read import run_records
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.errors import UsageError
from streamer.export import EXTENSIONS, Format, export_from_bus
from streamer.export.columns import Kind
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
Examples:
  streamer export --format csv
  streamer export tracks --out tracks.parquet
  streamer export --format jsonl --out - --stream carphone
"""
)
@click.argument("kind", type=click.Choice(["observations", "windows", "tracks"]), default="observations")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    help="[default: what the name given by --out ends in, else csv]",
)
@click.option(
    "--out",
    metavar="FILE",
    help="A file, or - for standard output (csv, jsonl).  [default: KIND.FORMAT in this folder]",
)
@click.option("--stream", "streams", multiple=True, metavar="ID", help="This stream only; may be repeated.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="This run only; may be repeated.")
@bus_option
@config_option
@json_option
def export(
    kind: Kind,
    format_: Format | None,
    out: str | None,
    streams: tuple[str, ...],
    runs: tuple[str, ...],
    bus: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Write what is on the bus to a file: observations (one row a face and frame), windows or tracks."""
    if format_ is None:
        format_ = EXTENSIONS.get(Path(out).suffix.lower(), "csv") if out else "csv"
    if out is None:
        out = f"{kind}.{format_}"
    if as_json and out == "-":
        raise UsageError("--json tells what was written, which would mix with rows on standard output: give a file")
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
    if as_json:
        told = {"export": out, "kind": kind, "format": format_, "rows": done.rows, "skipped": done.skipped}
        click.echo(json.dumps(told))
        return
    left_out = "".join(f", {n} {cause} left out" for cause, n in sorted(done.skipped.items()))
    into = "" if out == "-" else f" in {out}"
    click.echo(f"{done.rows:,} row{'' if done.rows == 1 else 's'}{into}{left_out}", err=True)


@click.command(
    epilog="""\b
Examples:
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
