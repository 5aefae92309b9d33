"""`engines models` and `engines calibrate`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click

from engines.cli.output import say_json
from engines.zoo import list_models, load, pull, verify
from engines.zoo.store import spec_json

_CACHE = click.option("--cache", type=click.Path(path_type=Path), help="Folder to keep models in.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def models() -> None:
    """The models there are, and those that are here.

    Example: engines models list
    """


@models.command("list")
@_CACHE
@_JSON
def list_command(cache: Path | None, as_json: bool) -> None:
    """Every model with its licence, and whether it is here.

    Example: engines models list --json
    """
    listed = list_models(cache=cache)
    if as_json:
        say_json([spec_json(one.spec) | {"path": str(one.path) if one.path else None} for one in listed])
        return
    for one in listed:
        here = f"{one.size_bytes / 1e6:.1f} MB" if one.size_bytes is not None else "not here"
        click.echo(f"{one.spec.name:18} {one.spec.role:11} {here:>9}  {one.spec.provenance.licence}")


@models.command("pull")
@click.argument("names", nargs=-1, required=True)
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Take files from here.")
@_CACHE
@_JSON
def pull_command(names: tuple[str, ...], folder: Path | None, cache: Path | None, as_json: bool) -> None:
    """Fetch models, check them and keep them.

    Example: engines models pull centerface face-api
    """
    pulled = []
    for name in names:
        model = pull(name, cache=cache, folder=folder, progress=lambda text: click.echo(text, err=True))
        pulled.append({"name": name, "model": model.spec.model_id, "path": str(model.path)})
    if as_json:
        say_json(pulled)


@models.command("verify")
@click.argument("names", nargs=-1)
@click.option("--batches", is_flag=True, help="Also prove that a crop's answer does not depend on its batch.")
@_CACHE
@_JSON
def verify_command(names: tuple[str, ...], batches: bool, cache: Path | None, as_json: bool) -> None:
    """Compare kept files with what the zoo names; with no name, all that are here. Fails when one is wrong.

    Example: engines models verify centerface --batches
    """
    wanted = names or tuple(one.spec.name for one in list_models(cache=cache) if one.path)
    found = [verify(name, cache=cache) for name in wanted]
    rows = [dataclasses.asdict(one) | {"path": str(one.path)} for one in found]
    if batches:
        for row, one in zip(rows, found, strict=True):
            if one.state == "good":
                row["batches"] = _prove(one.name, cache)
    if as_json:
        say_json(rows)
    else:
        for row in rows:
            click.echo(f"{row['text']}{_batch_text(row.get('batches'))}")
    if any(one.state != "good" for one in found):
        sys.exit(1)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default="face-api", show_default=True, help="Expression model of the zoo.")
@click.option("--accuracy", default=0.67, show_default=True, help="Accuracy on labelled pictures to match.")
@_CACHE
@_JSON
def calibrate(paths: tuple[Path, ...], model: str, accuracy: float, cache: Path | None, as_json: bool) -> None:
    """Fit a softmax temperature on clips or crops without labels, by matching mean confidence to a known accuracy.

    Example: engines calibrate clips/ --model face-api --accuracy 0.67
    """
    from engines.calibrate import calibrate as fit

    result = fit(model, paths, accuracy, cache=cache)
    if as_json:
        say_json(dataclasses.asdict(result))
        return
    for one in result.sources:
        click.echo(f"{one.source}: {one.n_faces} faces, mean confidence {one.before:.3f} -> {one.after:.3f}")
    click.echo(f"temperature {result.temperature:.4f} ({result.n_faces} faces, {result.before:.3f} -> {result.target})")


def _prove(name: str, cache: Path | None) -> dict[str, object]:
    from engines.runtime.prove import prove_model

    report = prove_model(load(name, cache=cache, offline=True), cache=cache)
    return {"holds": report.holds, "sizes": list(report.batches), "worst_difference": report.worst_difference}


def _batch_text(told: object) -> str:
    if not isinstance(told, dict):
        return ""
    return "; the same bits in every batch" if told["holds"] else "; NOT the same bits in every batch"
