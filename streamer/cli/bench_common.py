"""What the commands of `streamer bench` have in common: the clip they use, and where their results go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from engines.zoo.sample import fetch_sample
from streamer.cli.options import folder_for_output
from streamer.errors import UsageError


def sample() -> Path:
    """The sample clip, fetched where it is not here yet."""
    return fetch_sample(progress=tell)


def clips_of(paths: Sequence[Path]) -> list[Path]:
    """The videos of that name, and those in folders of that name. Raises `UsageError` where one is missing."""
    from streamer.bench.passes import clips_in

    clips: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no clip {path}")
        clips += clips_in(path) if path.is_dir() else [path]
    return clips


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
