"""`streamer purge`: forget a stream everywhere it was written, and look whether that is so."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Erased, Found
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.cli.words import counted, table
from streamer.errors import UsageError
from streamer.fleet.purging import Purge
from streamer.progress import printable


@click.command(
    epilog="""\b
Examples:
  streamer purge door
  streamer purge holiday --run r-2026-08 --yes --bus kafka://localhost:9092
  streamer purge --check door
"""
)
@click.argument("stream", metavar="STREAM")
@click.option("--run", metavar="ID", help="Forget only what it left in this run.")
@click.option("--check", is_flag=True, help="Change nothing; say what is still there. Exit code 1 when something is.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@bus_option
@config_option
@json_option
def purge(
    stream: str, run: str | None, check: bool, yes: bool, bus: str | None, config_path: Path | None, as_json: bool
) -> int:
    """Forget a stream everywhere it was written on the bus.

    Not while it is watched. Files that were made from the bus (exports, reports, copies of it) are yours to delete.
    An SQLite bus is written anew, so that the bytes are gone. Kafka takes time: what is left, and until when, is said.
    """
    config = settings(config_path, bus=bus)
    wanted = Purge(config, stream, run)
    opened = open_bus(config.bus, create=False, settings=config.topics)
    try:
        if check:
            return _checked(wanted, wanted.look(opened), as_json=as_json)
        wanted.check_over(opened, time.time())
        if not yes:
            _confirm(wanted, opened)
        erased = wanted.erase(opened)
        _tell(wanted, erased, wanted.look(opened), as_json=as_json)
    finally:
        opened.close()
    return 0


def _confirm(wanted: Purge, bus: Bus) -> None:
    if not sys.stdin.isatty():
        raise UsageError("this cannot be undone: give --yes where nobody can be asked")
    n = sum(found.n for found in wanted.look(bus).values())
    click.confirm(f"Forget {_name(wanted)}, {counted(n, 'record')}, for good?", abort=True, err=True)


def _checked(wanted: Purge, found: Mapping[str, Found], *, as_json: bool) -> int:
    left = {name: one for name, one in found.items() if one.n}
    if as_json:
        rows = [_row(one) for one in left.values()]
        click.echo(json.dumps({"stream": wanted.stream, "run": wanted.run, "topics": rows, "left": _n(left)}))
    elif left:
        _print(left)
    else:
        click.echo(f"nothing of {_name(wanted)} can be read in {counted(len(found), 'topic')}")
    return 1 if left else 0


def _tell(wanted: Purge, erased: Erased, left: Mapping[str, Found], *, as_json: bool) -> None:
    there = [name for name, found in erased.found.items() if found.n]
    if as_json:
        rows = [
            {
                "topic": name,
                "found": erased.found[name].n,
                "removed": erased.removed.get(name, 0),
                "tombstones_written": erased.tombstones.get(name, 0),
                "left": _row(left[name]),
            }
            for name in there
        ]
        click.echo(json.dumps({"stream": wanted.stream, "run": wanted.run, "topics": rows, "left": _n(left)}))
        return
    removed = sum(erased.removed.values())
    click.echo(f"{_name(wanted)}: {counted(removed, 'record')} removed" if there else f"{_name(wanted)}: nothing found")
    if _n(left):
        click.echo(f"{counted(_n(left), 'record')} can be read until the broker removes them:")
        _print({name: one for name, one in left.items() if one.n})
        click.echo("`streamer purge --check` looks again; see docs/purging.md")


def _print(found: Mapping[str, Found]) -> None:
    for line in table([["topic", "records", "tombstones", "gone by"], *(_cells(one) for one in found.values())]):
        click.echo(line)


def _row(found: Found) -> dict[str, object]:
    by_s = None if found.gone_by_s is None else round(found.gone_by_s, 3)
    return {"topic": found.topic, "records": found.records, "tombstones": found.tombstones, "gone_by_s": by_s}


def _cells(found: Found) -> list[str]:
    by = "not said" if found.gone_by_s is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(found.gone_by_s))
    return [found.topic, str(found.records), str(found.tombstones), by]


def _n(found: Mapping[str, Found]) -> int:
    return sum(one.n for one in found.values())


def _name(wanted: Purge) -> str:
    within = "" if wanted.run is None else f" in run {printable(wanted.run)}"
    return f"{printable(wanted.stream)}{within}"
