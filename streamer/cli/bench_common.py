"""What the commands of `streamer bench` have in common: the clip they use, and where their results go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from engines.zoo.sample import fetch_sample
from streamer.cli.options import folder_for_output


def sample() -> Path:
    """The sample clip, fetched where it is not here yet."""
    return fetch_sample(progress=tell)


def tell(text: str) -> None:
    """Say how far it is, beside the result."""
    click.echo(text, err=True)


def give(result: dict[str, Any], text: str | None, folder: Path | None, as_json: bool) -> None:
    """Print the result, as JSON or as `text` (None: as its tables), and write it to `folder`, with its picture."""
    from streamer.bench.document import fill, known

    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(known.tables(result) if text is None else text)
    if folder is not None:
        path = folder_for_output(folder) / f"{result['bench']}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        for name, picture in fill.pictures({result["bench"]: result}).items():
            (folder / name).write_text(picture, encoding="utf-8")
