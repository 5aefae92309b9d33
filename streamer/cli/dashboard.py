"""`streamer dashboard`: a live page about everything that is on the bus."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from streamer import log
from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.cli.options import bus_option, config_option, settings
from streamer.config import Config
from streamer.errors import BusError, UsageError
from streamer.http_guard import guard_for
from streamer.listen import listen_address


@click.command(
    epilog="""\b
Examples:
  streamer dashboard --bus sqlite:///affect.db
  streamer dashboard --bus kafka://localhost:9092 --listen 0.0.0.0:9190 --token-file token
"""
)
@bus_option
@config_option
@click.option(
    "--listen", metavar="PORT|HOST:PORT", help="Where; other than on loopback a token is required.  [default: 9190]"
)
@click.option("--token-file", metavar="FILE", help="The token that people are asked for.  [STREAMER_DASHBOARD_TOKEN]")
@click.option("--json", "as_json", is_flag=True, help="Tell the address as JSON on standard output; log JSON lines.")
def dashboard(
    bus: str | None, config_path: Path | None, listen: str | None, token_file: str | None, as_json: bool
) -> int:
    """Show streams, faces, the fleet and jobs live, in a browser; change them where a fleet is on the bus.

    It starts without the bus, too, and waits for it. Videos are never shown. It is an extra: `affect-streamer[web]`.
    """
    config = settings(config_path, bus=bus, dashboard__address=listen, dashboard__token_file=token_file)
    address = listen_address(config.dashboard.address)
    guard = guard_for(address, config.dashboard.token_file, os.environ, "dashboard")
    _check_address(config)
    try:
        from streamer.web.serve import serve  # what it brings is an extra, and takes a second to load
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("nicegui", "fastapi", "uvicorn"):
            raise
        raise UsageError("the dashboard needs its extra: pip install 'affect-streamer[web]'") from error
    log.configure(format="json" if as_json else "console")
    return serve(config, address, guard, _told_in_json if as_json else _told)


def _told(url: str) -> None:
    click.echo(f"streamer: dashboard at {url}", err=True)


def _told_in_json(url: str) -> None:
    click.echo(json.dumps({"dashboard": url}))


def _check_address(config: Config) -> None:
    """Raises `UsageError` for a bus address that can never work; a bus that is away may come."""
    topics(config.topics)
    try:
        open_bus(config.bus, create=False, settings=config.topics).close()
    except BusError:
        pass
