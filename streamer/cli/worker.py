"""`streamer worker`: a member of the fleet."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from streamer import log
from streamer.bus.open import open_bus
from streamer.cli.models_needed import ensure_models
from streamer.cli.options import bus_option, config_option, log_format_option, metrics_option, settings
from streamer.cli.serving import served_at, serving
from streamer.config import Config
from streamer.errors import UsageError
from streamer.source import is_stream_id, redacted
from streamer.worker.fleet_worker import FleetWorker
from streamer.worker.spools import Spools
from streamer.worker.tracing import check_tracing


@click.command(
    epilog="""\b
Examples:
  streamer worker --bus kafka://localhost:9092
  streamer worker --config worker.yaml --name front-desk --metrics 9180
"""
)
@bus_option
@config_option
@click.option("--name", metavar="NAME", help="This worker's name, unique in the fleet.  [default: the host's name]")
@click.option(
    "--children", type=click.IntRange(min=0), metavar="N", help="Worker processes; 0 is one a core.  [default: 0]"
)
@click.option(
    "--max-streams", type=click.IntRange(min=0), metavar="N", help="Live streams at once; 0 is by the children."
)
@click.option(
    "--control",
    metavar="[HOST:]PORT",
    help="Show streams and metrics, and take changes for the fleet, over HTTP at this address.  [default: off]",
)
@metrics_option
@click.option("--offline", is_flag=True, help="Fetch no models; use what is in the cache.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Which log events go to standard error, with those that are worse.",
)
@log_format_option
@click.option("--json", "as_json", is_flag=True, help="The same as --log-format json.")
def worker(
    bus: str | None,
    config_path: Path | None,
    name: str | None,
    children: int | None,
    max_streams: int | None,
    control: str | None,
    metrics: str | None,
    offline: bool,
    log_level: log.Level,
    log_format: log.Format,
    as_json: bool,
) -> int:
    """Take a share of the fleet's streams and jobs until stopped (Ctrl-C or SIGTERM), then hand it over.

    Streams are added with `streamer streams add`, archive work with `streamer jobs submit`.
    """
    config = settings(
        config_path,
        bus=bus,
        fleet__name=name,
        worker__children=children,
        fleet__max_streams=max_streams,
        control__address=control,
        metrics__address=metrics,
    )
    _check(config)
    served = served_at(config)
    check_tracing(config)
    log_format = "json" if as_json else log_format
    log.configure(log_level, log_format)
    called = config.fleet.name or platform.node().partition(".")[0] or "worker"
    if not is_stream_id(called):
        raise UsageError(
            f"the worker's name {called!r} must be letters, digits, dots, dashes and underscores: set fleet.name"
        )
    is_broker = not config.bus.startswith("sqlite")
    with Spools(config.spool, called, enabled=is_broker) as spools:
        ensure_models(config, offline=offline, quiet=True)
        opened = open_bus(config.bus, settings=config.topics)
        log.info("worker.begins", worker=called, bus=redacted(config.bus))
        try:
            one = FleetWorker(config, opened, called, spools, log_level=log_level, log_format=log_format)
            with serving(served, one.control, lambda what, url: log.info("control.listens", what=what, url=url)):
                one.run()
        finally:
            opened.close()
    return 0


def _check(config: Config) -> None:
    if config.sources:
        raise UsageError("a worker takes its streams from the bus: remove `sources`, and use `streamer streams add`")
    if not config.fleet.roles:
        raise UsageError("fleet.roles is empty: name streams, jobs or both")
