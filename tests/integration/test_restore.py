"""A thousand tracks, taken up in one go from a changelog in which every one of them lies many times."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamer.bench import restore
from streamer.bus.open import open_bus
from streamer.bus.topics import partition_of, state_record, topics
from streamer.config import CheckpointSettings, Config, TopicSettings
from streamer.errors import StreamerError
from streamer.state.head_batch import HeadNeeds
from tests.unit.state.scenes import ArithmeticHead
from tests.unit.worker.rig import models

DEADLINE_S = 20.0
SUPERSEDED = 20


@pytest.fixture
def settings(bus_url: str, prefix: str) -> Config:
    """So that `SUPERSEDED` versions and more lie in the time that is read."""
    checkpoint = CheckpointSettings(live_interval_s=1.5)
    return Config(bus=bus_url, checkpoint=checkpoint, topics=TopicSettings(prefix=prefix))


def test_a_thousand_tracks_are_restored(settings: Config) -> None:
    head = ArithmeticHead(HeadNeeds(context=("gap_s",), hidden=7))
    result = restore.run(settings, models(head=head), n_older=0, repeats=1)
    print(restore.table(result))  # noqa: T201  # how long it took here
    written = result["written"]
    assert written["recent_versions"] > SUPERSEDED
    assert written["values"] == written["recent_versions"] * 1100
    assert result["median"]["total_s"] < DEADLINE_S
    by_shape: dict[str, Any] = {one["shape"]: one for one in result["snapshots"]}
    assert by_shape["default head"]["bytes_per_s"] < 2e6


def test_the_program_notices_a_track_that_is_missing(settings: Config) -> None:
    settings = msgspec.structs.replace(
        settings, topics=TopicSettings(prefix=settings.topics.prefix, partitions=1), checkpoint=CheckpointSettings()
    )
    bus = open_bus(settings.bus)
    bus.ensure_topics([topics(settings.topics).state])
    restore._write(bus, settings, models(), 2, 6, 0, lambda _: None)
    restore._restore(settings, models(), 2, 6)
    stream = "camera-1"
    [key, *_] = sorted(
        key
        for key in bus.latest(topics(settings.topics).state.name, partition_of(stream, 1))
        if key.startswith(b"camera-1/") and not key.endswith(b"claim")
    )
    producer = bus.producer()
    producer.send([state_record(settings.topics, "live", stream, None, key=key, epoch=0)])
    producer.flush(DEADLINE_S)
    with pytest.raises(StreamerError, match="5 of 6"):
        restore._restore(settings, models(), 2, 6)
    bus.close()
