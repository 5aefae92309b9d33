"""Options that several commands share, and the configuration they come to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from streamer.config import Config, load
from streamer.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def bus_option(command: Command) -> Command:
    """`--bus URL`."""
    return click.option(
        "--bus",
        metavar="URL",
        help="Where records are: sqlite:///FILE or kafka://HOST:PORT.  [default: sqlite:///affect.db]",
    )(command)


def config_option(command: Command) -> Command:
    """`--config FILE`."""
    return click.option(
        "--config", "config_path", type=click.Path(path_type=Path), help="Settings in YAML; flags win over it."
    )(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def log_format_option(command: Command) -> Command:
    """`--log-format console|json`."""
    return click.option(
        "--log-format",
        type=click.Choice(["console", "json"]),
        default="console",
        show_default=True,
        help="How log events are written: for people, or one JSON object a line.",
    )(command)


def metrics_option(command: Command) -> Command:
    """`--metrics [HOST:]PORT`."""
    return click.option(
        "--metrics",
        metavar="[HOST:]PORT",
        help="Show metrics, streams and whether it is ready over HTTP at this address, and take no changes; port 0 has "
        "the system choose one.  [default: off]",
    )(command)


def folder_for_output(path: Path) -> Path:
    """`path`, made when it is missing. Raises `UsageError` where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {path}: {error.strerror}; choose another with --out") from error
    return path


def settings(config_path: Path | None, **flags: Any) -> Config:
    """The configuration from the file, the environment and these flags; `models__head="mean"` sets `models.head`."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return load(config_path, os.environ, dotted)
