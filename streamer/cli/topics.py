"""`streamer topics create`: the topics as they must be."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from streamer.bus.open import open_bus
from streamer.bus.topics import topics as all_topics
from streamer.cli.options import bus_option, config_option, json_option, settings


@click.group(epilog="\b\nExample:\n  streamer topics create --bus kafka://localhost:9092")
def topics() -> None:
    """Create or check the topics of a bus."""


@topics.command(epilog="\b\nExample:\n  streamer topics create --bus kafka://localhost:9092")
@bus_option
@config_option
@json_option
def create(bus: str | None, config_path: Path | None, as_json: bool) -> None:
    """Create missing topics, check the shape of those that exist, and have them keep records as long as is set."""
    config = settings(config_path, bus=bus)
    opened = open_bus(config.bus, settings=config.topics)
    try:
        wanted = all_topics(config.topics).all()
        changed = opened.ensure_topics(wanted, retain=True)
    finally:
        opened.close()
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(one) | {"changed": one.name in changed} for one in wanted]))
        return
    for topic in wanted:
        kept = "" if topic.retention_s is None else f"   kept {topic.retention_s / 3600:g} h"
        now = " from now on" if topic.name in changed else ""
        click.echo(f"{topic.name:32} {topic.partitions:4} partitions   {topic.cleanup:15}{kept}{now}".rstrip())
