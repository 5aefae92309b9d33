"""`engines data`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engines.cli.output import say_json

if TYPE_CHECKING:
    from engines.data.checking import PartReport, SetReport
    from engines.data.config import Crops, SetKind


@click.group()
def data() -> None:
    """The data sets that models are trained on.

    Example: engines data check datasets/RAF-DB
    """


@data.command("check")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--kind", type=click.Choice(["affectnet", "raf-db", "aff-wild2"]), help="Left out: it is recognised.")
@click.option("--crops", type=click.Choice(["cropped", "aligned"]), help="Which faces; left out: the set's usual ones.")
@click.option("--images", is_flag=True, help="Also decode every picture.")
@click.option(
    "--within", "within_percent", type=click.FloatRange(0, 100), help="Percent a count may differ by and be complete."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def check_command(
    path: Path, kind: SetKind | None, crops: Crops | None, images: bool, within_percent: float | None, as_json: bool
) -> None:
    """Count a data set against its published sizes, and name what is missing. Fails when it is incomplete or damaged.

    Example: engines data check datasets/Aff-Wild2 --images
    """
    import os

    from engines.data.checking import check_set

    report = check_set(
        path,
        kind,
        crops=crops,
        images=images,
        within_percent=within_percent,
        n_threads=os.cpu_count() or 1,
        progress=_progress if images and sys.stderr.isatty() else None,
    )
    if as_json:
        say_json(_as_plain(report))
    else:
        _say(report)
    if not report.complete:
        sys.exit(1)


def _progress(title: str, n_done: int, n_all: int) -> None:
    click.echo(f"\r{title}: {n_done:,} of {n_all:,} pictures decoded", err=True, nl=n_done >= n_all)


def _as_plain(report: SetReport) -> dict[str, object]:
    import dataclasses

    parts = [
        dataclasses.asdict(part)
        | {"difference_percent": part.difference_percent, "complete": part.complete(report.within_percent)}
        for part in report.parts
    ]
    return dataclasses.asdict(report) | {"complete": report.complete, "parts": parts}


def _say(report: SetReport) -> None:
    from rich.console import Console
    from rich.table import Table

    from engines.spec import EXPRESSIONS

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    has_videos = any(part.n_videos_published is not None for part in report.parts)
    sizes = Table("part", title=f"{report.kind} ({report.crops}) in {report.path}", title_justify="left")
    for name in ("images", "published", "differs", *(("videos", "published") if has_videos else ()), "complete"):
        sizes.add_column(name, justify="right")
    classes = Table("expressions", *EXPRESSIONS)
    for part in report.parts:
        complete = part.complete(report.within_percent)
        videos = (_number(part.n_videos), _number(part.n_videos_published)) if has_videos else ()
        counts = (_number(part.n_images), _number(part.n_images_published), _difference(part))
        sizes.add_row(part.title, *counts, *videos, "yes" if complete else "no")
        if part.by_expression:
            classes.add_row(part.title, *(_share(part, name) for name in EXPRESSIONS))
    console.print(sizes)
    if classes.row_count:
        console.print(classes)
    for part in report.parts:
        if part.absent is not None:
            click.echo(f"{part.title}: not read: {part.absent}")
        for cause, found in part.findings.damage.items():
            click.echo(f"{part.title}: {cause}: {found.text()}")
        for cause, found in part.findings.left_out.items():
            click.echo(f"{part.title}: left out: {cause}: {found.text()}")
    decoded = "every picture decoded" if report.images_decoded else "pictures not decoded (--images does)"
    click.echo(f"{'complete' if report.complete else 'incomplete or damaged'}; {decoded}")


def _difference(part: PartReport) -> str:
    return f"{part.n_images - part.n_images_published:+,} ({part.difference_percent:+.2f} %)"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _share(part: PartReport, name: str) -> str:
    n = part.by_expression[name]
    return f"{n:,} ({100 * n / max(part.n_images, 1):.1f} %)"
