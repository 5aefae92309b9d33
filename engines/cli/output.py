"""How answers are printed."""

from __future__ import annotations

import json

import click


def say_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2))
