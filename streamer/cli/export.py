"""`streamer export`: what is on the bus, as files for other tools."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamer.bus.open import open_bus
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.cli.words import counted
from streamer.errors import UsageError
from streamer.export import EXTENSIONS, FORMATS, Exported, Format, export_from_bus
from streamer.export.columns import Kind
from streamer.export.formats import TableFormat
from streamer.progress import printable


@click.command(
    epilog="""\b
Examples:
  streamer export --format csv
  streamer export tracks --out tracks.parquet
  streamer export --format jsonl --out - --stream carphone
  streamer export --format webvtt --stream carphone --out carphone.vtt
  streamer export --format abaw-expression --out submission
"""
)
@click.argument("kind", type=click.Choice(["observations", "windows", "tracks"]), default="observations")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="[default: what the name given by --out ends in, else csv]",
)
@click.option(
    "--out",
    metavar="FILE",
    help="A file, or - for standard output. webvtt, elan and abaw have a file for each video: give a folder, or a file"
    " for one.  [default: KIND.FORMAT in this folder, or the folder FORMAT]",
)
@click.option("--stream", "streams", multiple=True, metavar="ID", help="This stream only; may be repeated.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="This run only; may be repeated.")
@click.option("--track", type=int, metavar="N", help="Faces of this number only.")
@click.option(
    "--fill",
    is_flag=True,
    help="csv, jsonl, parquet: one row for each frame of a file, that of its largest face; where there is none a row"
    " that is filled in.",
)
@click.option(
    "--hold",
    "hold_s",
    type=click.FloatRange(min=0, max=3600),
    metavar="SECONDS",
    help="webvtt, elan: a label that holds for less is flicker.  [default: 0.5 in webvtt, 0 in elan]",
)
@bus_option
@config_option
@json_option
def export(
    kind: Kind,
    format_: Format | None,
    out: str | None,
    streams: tuple[str, ...],
    runs: tuple[str, ...],
    track: int | None,
    fill: bool,
    hold_s: float | None,
    bus: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Write what is on the bus to a file: observations (one row a face and frame), windows or tracks.

    webvtt are captions, webvtt-metadata the same numbers for programs, elan a file for ELAN; abaw-expression and
    abaw-va are the ABAW challenge's text, a line for each frame.
    """
    if format_ is None:
        format_ = EXTENSIONS.get(Path(out).suffix.lower(), "csv") if out else "csv"
    if out is None:
        out = f"{kind}.{format_}" if isinstance(FORMATS[format_], TableFormat) else format_
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
            track=track,
            fill=fill,
            hold_s=hold_s,
        )
    finally:
        opened.close()
    for note in done.notes:
        click.echo(f"streamer: {printable(note)}", err=True)
    if as_json:
        told = {"export": out, "kind": kind, "format": format_, "rows": done.rows, "skipped": done.skipped}
        click.echo(json.dumps({**told, "files": done.files}))
    else:
        click.echo(_summary(done, kind, out), err=True)


def _summary(done: Exported, kind: Kind, out: str) -> str:
    left_out = "".join(f", {n:,} {cause} left out" for cause, n in sorted(done.skipped.items()))
    into = f" in {len(done.files):,} files in {out}" if len(done.files) > 1 else "".join(f" in {f}" for f in done.files)
    none = "" if done.rows else f": what was chosen has no {kind}"
    return f"{counted(done.rows, done.unit)}{into}{left_out}{none}"
