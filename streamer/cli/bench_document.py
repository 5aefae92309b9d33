"""`streamer bench document`: the tables and pictures of a document, from the results beside it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamer.cli.options import json_option
from streamer.errors import StreamerError, UsageError


@click.command(
    epilog="""\b
Examples:
  streamer bench document docs/benchmarks.md
  streamer bench document docs/benchmarks.md --check
  streamer bench document notes.md --results bench-output
"""
)
@click.argument("document", type=click.Path(path_type=Path))
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path),
    help="Where the results (*.json) are and the pictures go.  [default: the folder named as the document]",
)
@click.option("--check", is_flag=True, help="Change nothing: 1 where something is not up to date.")
@json_option
def document(document: Path, folder: Path | None, check: bool, as_json: bool) -> int:
    """Make the tables of DOCUMENT, and a picture of each result, from the results of benchmarks.

    A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; the prose around it is left alone.
    """
    from streamer.bench.document import fill

    folder = document.with_suffix("") if folder is None else folder
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {document}: {error.strerror}") from error
    made = fill.made(text, fill.results_in(folder), fill.seen_from(document, folder))
    stale = fill.stale(document, folder, made)
    if not check:
        try:
            for path, content in stale.items():
                path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise StreamerError(f"cannot write {error.filename}: {error.strerror}") from error
    changed = [str(path) for path in stale]
    if as_json:
        click.echo(json.dumps({"changed": changed, "without_table": list(made.left_out)}))
    else:
        for name in changed:
            click.echo(f"{'not up to date' if check else 'written'}  {name}")
        for name in made.left_out:
            click.echo(f"in no table     {folder / name}.json")
    return 1 if check and (stale or made.left_out) else 0
