"""A thousand tracks, taken up in one go from a changelog in which every one of them lies many times."""

from __future__ import annotations

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
VERSIONS = 20


@pytest.mark.kafka
def test_a_thousand_tracks_are_restored(kafka_url: str, prefix: str) -> None:
    """With more versions of each in the time that is read than its owner would have written."""
    checkpoint = CheckpointSettings(live_interval_s=2.0)
    settings = Config(bus=kafka_url, checkpoint=checkpoint, topics=TopicSettings(prefix=prefix))
    head = ArithmeticHead(HeadNeeds(context=("gap_s",), hidden=7))
    result = restore.run(settings, models(head=head), n_older=0, repeats=1, shapes={})
    print(restore.table(result))  # noqa: T201  # how long it took here
    written = result["written"]
    assert written["recent_versions"] == VERSIONS
    assert written["values"] == VERSIONS * 1100
    assert result["median"]["total_s"] < DEADLINE_S
    [snapshot] = result["snapshots"]
    assert snapshot["bytes_per_s"] < 2e6


def test_the_program_notices_a_track_that_is_missing(bus_url: str, prefix: str) -> None:
    settings = Config(bus=bus_url, topics=TopicSettings(prefix=prefix, partitions=1))
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
