"""Ground for fleets: the session's broker, or one of their own to be stopped; the sample clip made short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.zoo.sample import fetch_sample
from streamer.bench.broker import Broker
from streamer.bench.fleet.ground import Ground
from tests.kafka.broker import missing, need, start

SESSION_S = 6.0


@pytest.fixture(scope="session")
def fleet_folder(models: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Room for videos, which are made once, and for what workers write."""
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="session")
def ground(kafka_url: str, fleet_folder: Path) -> Ground:
    """A fleet's ground on the session's broker."""
    return Ground(kafka_url, fleet_folder, fetch_sample())


@pytest.fixture(scope="session")
def stoppable(fleet_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A fleet's ground on a broker of its own."""
    need(missing())
    broker: Broker = start(tmp_path_factory.mktemp("kafka-to-stop"))
    yield Ground(broker.url, fleet_folder, fetch_sample(), broker)
    broker.stop()
