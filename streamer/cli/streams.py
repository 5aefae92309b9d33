"""`streamer streams`: which live streams the fleet watches, written and read over the bus."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming
from streamer.bus.topics import key_of, partition_of, topics
from streamer.cli.frame_options import stream_frame_options
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.cli.stream_lines import as_json as flat
from streamer.cli.stream_lines import header, line, row
from streamer.cli.words import counted, listed, table
from streamer.config import Config
from streamer.errors import SourceMissing, UsageError
from streamer.fleet.submission import address_of
from streamer.messages import StreamDefinition
from streamer.progress import printable
from streamer.source import redacted
from streamer.sources import parse
from streamer.sources.names import is_name
from streamer.state.codec import stream_key
from streamer.wishes import records
from streamer.wishes.definitions import definitions, newest, write
from streamer.wishes.views import StreamView, StreamWatch, view

HEARD_S = 180.0
"""Statuses older than this are no news of a stream: every owner repeats them far more often."""
POLL_S = 0.2

model_option = click.option("--model", metavar="NAME", help="Expression model; `default` is the worker's own.")
priority_option = click.option(
    "--priority", type=int, metavar="N", help="Higher ones run first where room is short.  [default: 0]"
)


@click.group(
    epilog="""\b
Examples:
  streamer streams add door=http://camera-1/stream --fps 5
  streamer streams list
"""
)
def streams() -> None:
    """Have a fleet of workers watch live streams: add, change, pause, remove, list, watch."""


@streams.command(
    epilog="""\b
Examples:
  streamer streams add door=http://camera-1/stream lobby=http://camera-2/stream --fps 5
  streamer streams add test=testsrc://640x360@25 --priority 1 --bus kafka://localhost:9092
  streamer streams add yard=rtsp://camera-7/slow --keyframes-only --max-faces 3
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="NAME=SOURCE...")
@bus_option
@config_option
@stream_frame_options
@priority_option
@model_option
@click.option("--paused", is_flag=True, help="Define it only: `resume` has it watched.")
@click.option("--repeat", is_flag=True, help="Begin a file again when it has ended.")
@json_option
def add(
    sources: tuple[str, ...],
    bus: str | None,
    config_path: Path | None,
    fps: float | None,
    keyframes_only: bool | None,
    max_faces: int | None,
    priority: int | None,
    model: str | None,
    paused: bool,
    repeat: bool,
    as_json: bool,
) -> None:
    """Define streams. One of the same name is replaced, with all its settings."""
    wanted = dict(_named(text) for text in sources)
    if len(wanted) < len(sources):
        raise UsageError("a name is given to two sources: choose another for one of them")
    config = settings(config_path, bus=bus)
    with _opened(config, create=True) as opened:
        known = definitions(opened, config.topics)
        made = [
            StreamDefinition(
                stream=stream,
                source=source,
                model=_model(model),
                sample_fps=fps or None,
                keyframes_only=keyframes_only,
                max_faces=max_faces,
                priority=priority or 0,
                paused=paused,
                repeat=repeat,
                updated_s=round(time.time(), 6),
            )
            for stream, source in wanted.items()
        ]
        write(opened, [records.stream_definition(one, config.topics) for one in made])
    _tell({stream: "replaced" if stream in known else "added" for stream in wanted}, as_json=as_json)


@streams.command(
    "set",
    epilog="""\b
Examples:
  streamer streams set door lobby --fps 2 --priority 5
  streamer streams set yard --every-frame --max-faces 0
""",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@bus_option
@config_option
@click.option("--source", metavar="SOURCE", help="Read it from elsewhere.")
@stream_frame_options
@priority_option
@model_option
@click.option("--repeat/--no-repeat", default=None, help="Whether a file begins again when it has ended.")
@json_option
def set_(
    names: tuple[str, ...],
    bus: str | None,
    config_path: Path | None,
    source: str | None,
    fps: float | None,
    keyframes_only: bool | None,
    max_faces: int | None,
    priority: int | None,
    model: str | None,
    repeat: bool | None,
    as_json: bool,
) -> None:
    """Change what is given, and leave the rest of each stream as it is."""
    changes: dict[str, Any] = {}
    if source is not None:
        changes["source"] = _address(source)
    if fps is not None:
        changes["sample_fps"] = fps or None
    if keyframes_only is not None:
        changes["keyframes_only"] = keyframes_only
    if max_faces is not None:
        changes["max_faces"] = max_faces
    if priority is not None:
        changes["priority"] = priority
    if model is not None:
        changes["model"] = _model(model)
    if repeat is not None:
        changes["repeat"] = repeat
    if not changes:
        raise UsageError(
            "nothing is to change: give --source, --fps, --keyframes-only, --max-faces, --priority, --model or --repeat"
        )
    _change(settings(config_path, bus=bus), names, changes, "changed", as_json=as_json)


@streams.command(epilog="\b\nExample:\n  streamer streams pause door")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@bus_option
@config_option
@json_option
def pause(names: tuple[str, ...], bus: str | None, config_path: Path | None, as_json: bool) -> None:
    """Watch streams no more until `resume`, and keep their definitions."""
    _change(settings(config_path, bus=bus), names, {"paused": True}, "paused", as_json=as_json)


@streams.command(epilog="\b\nExample:\n  streamer streams resume door")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@bus_option
@config_option
@json_option
def resume(names: tuple[str, ...], bus: str | None, config_path: Path | None, as_json: bool) -> None:
    """Watch paused streams again."""
    _change(settings(config_path, bus=bus), names, {"paused": False}, "resumed", as_json=as_json)


@streams.command(epilog="\b\nExample:\n  streamer streams remove door lobby")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@bus_option
@config_option
@json_option
def remove(names: tuple[str, ...], bus: str | None, config_path: Path | None, as_json: bool) -> None:
    """Take streams out of the fleet. What they gave stays on the topics."""
    config = settings(config_path, bus=bus)
    with _opened(config) as opened:
        _known(_control_keys(opened, config), names)
        write(opened, [records.stream_removal(stream, config.topics) for stream in names])
    _tell(dict.fromkeys(names, "removed"), as_json=as_json)


@streams.command(
    "list",
    epilog="""\b
Examples:
  streamer streams list
  streamer streams list --workers --json
""",
)
@bus_option
@config_option
@click.option("--workers", is_flag=True, help="Tell who owns each stream, which reads the state topic: slower.")
@json_option
def list_(bus: str | None, config_path: Path | None, workers: bool, as_json: bool) -> None:
    """List the wanted streams with what was last heard of each, in the last three minutes."""
    config = settings(config_path, bus=bus)
    with _opened(config) as opened:
        shown = _views(opened, config, workers=workers)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in shown]))
        return
    if not shown:
        click.echo("no streams on this bus")
        return
    for text in table([header(workers=workers), *(row(one, workers=workers) for one in shown)]):
        click.echo(text)


@streams.command(
    epilog="""\b
Examples:
  streamer streams watch
  streamer streams watch --for 60 --json
"""
)
@bus_option
@config_option
@click.option("--for", "for_s", type=click.FloatRange(min=0), metavar="SECONDS", help="End after so long.")
@json_option
def watch(bus: str | None, config_path: Path | None, for_s: float | None, as_json: bool) -> None:
    """Follow the streams: a line for each change of state, definition that comes, and definition that is rejected."""
    config = settings(config_path, bus=bus)
    names = topics(config.topics)
    with _opened(config) as opened:
        consumer = opened.consumer([names.status.name, names.streams.name, names.deadletter.name], start="latest")
        watched = StreamWatch(names)
        until_s = None if for_s is None else time.monotonic() + for_s
        while until_s is None or time.monotonic() < until_s:
            for record in consumer.poll(POLL_S):
                for happening in watched.take(record):
                    click.echo(json.dumps(flat(happening)) if as_json else line(happening))


@contextmanager
def _opened(config: Config, *, create: bool = False) -> Iterator[Bus]:
    bus = open_bus(config.bus, create=create, settings=config.topics)
    try:
        if create:
            bus.ensure_topics(topics(config.topics).all())
        yield bus
    finally:
        bus.close()


def _control_keys(bus: Bus, config: Config) -> list[str]:
    return [key.decode("utf-8", "surrogateescape") for key in newest(bus, config.topics)]


def _known(there: Sequence[str] | Mapping[str, object], names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in there]
    if unknown:
        raise UsageError(f"{listed(unknown)}: no stream of that name is defined; `streamer streams list` shows them")


def _change(config: Config, names: Sequence[str], changes: Mapping[str, Any], what: str, *, as_json: bool) -> None:
    with _opened(config) as bus:
        known = definitions(bus, config.topics)
        _known(known, names)
        stamp = {"updated_s": round(time.time(), 6)}
        made = [msgspec.structs.replace(known[name], **changes, **stamp) for name in dict.fromkeys(names)]
        write(bus, [records.stream_definition(one, config.topics) for one in made])
    _tell(dict.fromkeys(names, what), as_json=as_json)


def _tell(done: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"stream": stream, "done": what} for stream, what in done.items()]))
    else:
        for stream, what in done.items():
            click.echo(f"{printable(stream)}: {what}")


def _model(name: str | None) -> str | None:
    return None if name == "default" else name


def _named(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals or not is_name(name):
        raise UsageError(
            f"{redacted(text)} has no name: write NAME=SOURCE, with at most 100 letters, digits, dots, dashes and "
            "underscores for the name"
        )
    return name, _address(address)


def _address(text: str) -> str:
    """The address as a worker takes it: paths whole. A path that is not on this machine may be on the workers'."""
    if Path(text).is_absolute() and not os.path.lexists(text):
        click.echo(f"streamer: {redacted(text)} is not on this machine: the workers must have it", err=True)
        return text
    try:
        found = parse(text, "live")
    except SourceMissing as error:
        raise UsageError(str(error)) from error
    if len(found) != 1:
        raise UsageError(f"{redacted(text)} stands for {counted(len(found), 'source')}: give each its own name")
    return text if found[0].kind == "webcam" else address_of(found[0])


def _views(bus: Bus, config: Config, *, workers: bool) -> list[StreamView]:
    names, now_s = topics(config.topics), time.time()
    defined = definitions(bus, config.topics)
    by_partition: dict[int, list[str]] = {}
    for stream in defined:
        by_partition.setdefault(partition_of(stream, names.status.partitions), []).append(stream)
    heard: dict[bytes, Incoming] = {}
    for partition, members in by_partition.items():
        keys = [key_of(stream) for stream in members]
        heard |= bus.latest(names.status.name, partition, keys, since_s=now_s - HEARD_S)
    claims: dict[bytes, Incoming] = {}
    for partition, members in by_partition.items() if workers else ():  # one topic after the other: changing is slow
        claims |= bus.latest(names.state.name, partition, [_claim_key(stream) for stream in members])
    return [
        view(definition, heard.get(key_of(stream)), claims.get(_claim_key(stream)), now_s)
        for stream, definition in sorted(defined.items())
    ]


def _claim_key(stream: str) -> bytes:
    return stream_key(stream) + records.CLAIM_SUFFIX
