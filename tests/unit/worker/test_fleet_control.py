"""A worker that is looked at and changed over HTTP: what is asked for goes to the control topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import partition_of
from streamer.control.checks import NotFollowed
from streamer.control.words import Busy, Change, Unknown, Wish
from streamer.errors import BusUnavailable
from streamer.messages import StreamDefinition
from streamer.wishes import records
from streamer.worker import fleet_control
from streamer.worker.link import Change as ToChange
from streamer.worker.link import Open, StreamTick, Tick, Tuning
from tests.unit.test_metrics import read
from tests.unit.worker.fleet_rig import Rig

TESTSRC = "testsrc://64x48@5"


def definition(one: Rig, stream: str) -> StreamDefinition | None:
    found = one.latest("affect.streams", partition_of(stream, one.config.topics.partitions))
    record = found.get(stream.encode())
    return None if record is None or record.value is None else one.on("affect.streams", StreamDefinition)[-1]


def states(one: Rig) -> dict[str, str]:
    return {shown.stream: shown.state for shown in one.worker.control.streams()}


def test_streams_are_added_changed_paused_and_removed_as_by_the_command(rig: Callable[..., Rig]) -> None:
    one = rig()
    control = one.worker.control
    assert control.put("door", Wish(source=TESTSRC, sample_fps=2.0)) == "added"
    [order] = one.wait(lambda: one.opens("door"), "the stream is opened")
    assert order.tuning == Tuning(sample_fps=2.0)
    assert control.change("door", Change(sample_fps=None, max_faces=2)) == "changed"
    assert one.wait(lambda: one.children.of(ToChange), "it changes") == [
        ToChange(work="door", tuning=Tuning(max_faces=2))
    ]
    assert control.change("door", Change(paused=True)) == "changed"
    one.wait(lambda: one.releases("door") == ["hand_over"], "it is let go of")
    one.wait(lambda: states(one) == {"door": "paused"}, "it is shown as paused")
    assert control.put("door", Wish(source=TESTSRC)) == "replaced"
    one.wait(lambda: len(one.opens("door")) == 2, "it is watched again")
    written = definition(one, "door")
    assert written is not None
    assert (written.max_faces, written.paused) == (None, False)
    assert control.remove("door") == "removed"
    one.wait(lambda: one.releases("door") == ["hand_over", "close"], "it is closed")
    assert (definition(one, "door"), control.streams()) == (None, [])
    assert control.health().role == "worker"


def test_what_cannot_be_followed_is_not_written(rig: Callable[..., Rig]) -> None:
    one = rig()
    control = one.worker.control
    asking: list[Callable[[], object]] = [
        lambda: control.put("door", Wish(source="gopher://u:geheim@x")),
        lambda: control.put("door", Wish(source=TESTSRC, sample_fps=0.0)),
        lambda: control.put("door", Wish(source=TESTSRC, max_faces=-1)),
        lambda: control.put("door", Wish(source=TESTSRC, model="nothing")),
        lambda: control.put("door", Wish(source="0")),
    ]
    for ask in asking:
        with pytest.raises(NotFollowed) as refused:
            ask()
        assert "geheim" not in str(refused.value)
    unknowns: list[Callable[[], object]] = [
        lambda: control.change("door", Change(paused=True)),
        lambda: control.remove("door"),
    ]
    for unknown in unknowns:
        with pytest.raises(Unknown):
            unknown()
    assert one.on("affect.streams", StreamDefinition) == []


def test_a_source_that_is_not_for_us_to_allow_can_be_paused(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("desk", source="0")  # rejected here, but another worker may own a camera
    assert one.worker.control.change("desk", Change(paused=True)) == "changed"
    with pytest.raises(NotFollowed):
        one.worker.control.change("desk", Change(source="1"))


def test_a_definition_that_nobody_can_read_is_replaced(rig: Callable[..., Rig]) -> None:
    one = rig()
    bad = records.stream_definition(StreamDefinition(stream="door", source=TESTSRC), one.config.topics)
    one.write(Outgoing(bad.topic, bad.partition, bad.key, b"\xc1"))
    with pytest.raises(Unknown):
        one.worker.control.change("door", Change(paused=True))
    assert one.worker.control.put("door", Wish(source=TESTSRC)) == "added"


class _Away:
    """A bus that takes no records of the control topic."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def latest(self, topic: str, *arguments: Any, **more: Any) -> Any:
        if topic == "affect.streams" and arguments[1:]:
            raise BusUnavailable("the bus is away: wait")
        return self._bus.latest(topic, *arguments, **more)


def test_a_bus_that_is_away_is_an_answer(rig: Callable[..., Rig]) -> None:
    one = rig(wrap=_Away)
    with pytest.raises(fleet_control.NotWritten, match="away"):
        one.worker.control.put("door", Wish(source=TESTSRC))


def test_who_is_not_answered_in_time_is_told(rig: Callable[..., Rig]) -> None:
    one = rig()
    control = one.worker.control
    one.worker.interrupt()
    one.thread.join(20)
    object.__setattr__(control.asking, "within_s", 0.05)
    with pytest.raises(Busy):
        control.streams()


def test_metrics_follow_the_streams_of_the_worker(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.add("door")
    one.wait(lambda: one.opens("door"), "the stream is opened")
    tick = StreamTick(
        work="door",
        state="live",
        media_time_s=1.0,
        faces_now=0,
        decoded=25,
        analysed=25,
        faces=0,
        records=0,
        corrupt_packets=0,
        dropped={},
    )
    [child] = [number for number, message in one.children.told if isinstance(message, Open)]
    one.children.say(child, Tick(streams=(tick,), published=0, stage_s={}))
    name = ("streamer_frames_decoded_total", (("stream", "door"),))
    one.wait(lambda: read(one.worker.control.metrics).get(name) == 25, "its frames are counted")
