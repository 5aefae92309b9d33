from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.bus.protocol import Incoming
from streamer.fleet.streams import Added, Changed, Removed, StreamTable
from streamer.wishes.records import Rejected
from tests.unit.fleet.control import TOPICS, admission, definition, removal


@pytest.fixture
def table() -> StreamTable:
    return StreamTable(admission(), TOPICS.partitions)


def test_a_definition_adds_the_same_again_does_nothing_and_a_tombstone_removes(table: StreamTable) -> None:
    [added] = table.take(definition("a"))
    assert isinstance(added, Added)
    assert added.wanted.source.mode == "live"
    assert table.take(definition("a", updated_s=5.0, offset=1)) == []
    [removed] = table.take(removal("a"))
    assert isinstance(removed, Removed)
    assert removed.before.stream == "a"
    assert table.take(removal("a")) == []
    assert table.all() == []


@pytest.mark.parametrize(
    ("fields", "reopen"),
    [
        ({"sample_fps": 2.0}, False),
        ({"priority": 3}, False),
        ({"paused": True}, False),
        ({"source": "testsrc://32x32@5"}, True),
        ({"model": "face-api"}, True),
        ({"repeat": True}, True),
        ({"priority": 3, "repeat": True}, True),
    ],
)
def test_a_change_says_what_changed_and_whether_the_source_must_be_opened_again(
    table: StreamTable, fields: dict[str, object], reopen: bool
) -> None:
    table.take(definition("a"))
    [changed] = table.take(definition("a", **fields))  # type: ignore[arg-type]
    assert isinstance(changed, Changed)
    assert changed.fields == set(fields)
    assert changed.reopen == reopen
    assert table.get("a") == changed.wanted


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_fps": 0.0},
        {"sample_fps": float("nan")},
        {"sample_fps": float("inf")},
        {"source": "nothing.mp4"},
        {"source": "rtsp://u:geheim@cam/"},
        {"model": "no-such-model"},
    ],
)
def test_a_bad_definition_is_rejected_and_the_good_one_before_goes_on(
    table: StreamTable, fields: dict[str, object]
) -> None:
    [alone] = table.take(definition("b", **fields))  # type: ignore[arg-type]
    assert isinstance(alone, Rejected)
    assert "goes on" not in alone.message
    table.take(definition("a"))
    before = table.get("a")
    [rejected] = table.take(definition("a", **fields))  # type: ignore[arg-type]
    assert isinstance(rejected, Rejected)
    assert rejected.message.endswith("What was defined before goes on.")
    assert "geheim" not in rejected.message
    assert table.all() == [before]


def test_a_record_of_another_key_partition_or_shape_is_rejected(table: StreamTable) -> None:
    good = definition("a")
    wrong = [
        replace(good, key=b"b"),
        replace(good, key=b"a/b"),
        replace(good, key=b"\xff"),
        replace(good, partition=(good.partition + 1) % TOPICS.partitions),
        replace(good, value=b"\xc1"),
        replace(good, value=b""),
    ]
    for record in wrong:
        [rejected] = table.take(record)
        assert isinstance(rejected, Rejected)
        assert rejected.record is record
    assert table.all() == []


def test_a_tombstone_in_another_partition_removes_nothing(table: StreamTable) -> None:
    table.take(definition("a"))
    elsewhere = removal("a")
    assert table.take(replace(elsewhere, partition=(elsewhere.partition + 1) % TOPICS.partitions)) == []
    assert len(table.all()) == 1


def test_a_live_file_is_live(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    table = StreamTable(admission(tmp_path), TOPICS.partitions)
    [added] = table.take(definition("a", str(tmp_path / "a.mp4"), repeat=True))
    assert isinstance(added, Added)
    assert (added.wanted.source.kind, added.wanted.source.mode) == ("file", "live")


def test_dropping_partitions_forgets_their_streams_only(table: StreamTable) -> None:
    for name in "abcdefgh":
        table.take(definition(name))
    partition = table.all()[0].partition
    gone = table.drop({partition})
    assert {wanted.partition for wanted in gone} == {partition}
    assert {wanted.stream for wanted in gone} | {wanted.stream for wanted in table.all()} == set("abcdefgh")
    assert all(wanted.partition != partition for wanted in table.all())


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["testsrc://64x64@5", "testsrc://32x32@5", "bad", None]),
            st.sampled_from([None, 1.0, 2.0, -1.0]),
        ),
        max_size=30,
    )
)
def test_the_table_is_the_last_good_definition_of_each_stream_however_the_changes_came(
    steps: list[tuple[str, str | None, float | None]],
) -> None:
    """Following the changes gives the table, and the table is what a plain walk over the records gives."""
    table = StreamTable(admission(), TOPICS.partitions)
    followed: dict[str, object] = {}
    expected: dict[str, tuple[str, float | None]] = {}
    for offset, (stream, source, rate) in enumerate(steps):
        record: Incoming
        if source is None:
            record = removal(stream, offset)
            expected.pop(stream, None)
        else:
            record = definition(stream, source, offset, sample_fps=rate)
            if source != "bad" and rate != -1.0:
                expected[stream] = (source, rate)
        for change in table.take(record):
            if isinstance(change, Added | Changed):
                followed[change.wanted.stream] = change.wanted
            elif isinstance(change, Removed):
                del followed[change.before.stream]
    assert {one.stream: (one.definition.source, one.definition.sample_fps) for one in table.all()} == expected
    assert {one.stream: one for one in table.all()} == followed
