"""`streamer check CONFIG`: is this configuration right, before anything is started with it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
import yaml

from engines.errors import UnknownModel, WrongUse
from engines.zoo import check_fit, load_head, spec_of
from streamer.bus.open import open_bus
from streamer.cli.options import json_option, settings
from streamer.config import Config
from streamer.errors import BusUnavailable, UsageError
from streamer.schema import configuration_schema
from streamer.sources import parse_all, redacted


@click.command(
    epilog="""\b
Examples:
  streamer check worker.yaml
  streamer check --schema > config.schema.json
"""
)
@click.argument("config_path", metavar="CONFIG", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the configuration's JSON Schema and leave.")
@json_option
def check(config_path: Path | None, schema: bool, as_json: bool) -> None:
    """Read CONFIG as a run would, name what is wrong with it, or print the settings it comes to."""
    if schema:
        click.echo(json.dumps(configuration_schema(), indent=2))
        return
    if config_path is None:
        raise UsageError("name the configuration file to check, or use --schema")
    config = settings(config_path)
    parse_all(config.sources, config.mode)
    _check_bus(config)
    _check_models(config, config_path)
    tree = msgspec.to_builtins(config)
    tree["bus"] = redacted(tree["bus"])
    tree["tracing"]["endpoint"] = redacted(tree["tracing"]["endpoint"])
    tree["sources"] = [redacted(source) for source in tree["sources"]]
    if as_json:
        click.echo(json.dumps(tree))
        return
    click.echo(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), nl=False)


def _check_models(config: Config, config_path: Path) -> None:
    """Whether the named models and head exist and fit together; no weights are read."""
    wanted = config.models
    try:
        spec_of(wanted.detector, role="detector")
        expression = spec_of(wanted.expression, precision=wanted.precision, role="expression")
        if wanted.head not in ("none", "mean"):
            check_fit(load_head(wanted.head)[0], expression)
    except (UnknownModel, WrongUse) as error:
        raise UsageError(f"{config_path}: {error}") from error


def _check_bus(config: Config) -> None:
    """Whether the address can be one; a file that is not there yet and a broker that is away are no fault of it."""
    try:
        open_bus(config.bus, create=False, settings=config.topics).close()
    except BusUnavailable:
        return
