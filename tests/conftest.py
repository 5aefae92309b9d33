"""Fixtures that several folders of tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from engines.errors import ModelUnavailable
from engines.zoo import load
from engines.zoo.sample import fetch_sample
from tests.kafka.broker import bus_url, kafka_broker, kafka_url, prefix
from tests.setting_up import give_up

settings.register_profile("house", deadline=None)  # a busy machine is no failure
settings.load_profile("house")

__all__ = ["bus_url", "kafka_broker", "kafka_url", "models", "prefix"]


@pytest.fixture(scope="session")
def models() -> None:
    """The default models and the sample clip are in the cache; skipped where no source answers, an error in CI."""
    try:
        load("centerface")
        load("face-api")
        fetch_sample()
    except ModelUnavailable as error:
        give_up(str(error))
