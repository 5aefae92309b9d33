"""What runs on real faces leave: numbers only, nothing that joins streams, and nothing at all once it is purged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import msgpack
import numpy as np
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Incoming
from streamer.bus.read import drain
from streamer.bus.topics import topics
from streamer.config import TopicSettings
from streamer.messages import Observation, Track, TrackEvent, Window
from streamer.state.codec import peek, unseal
from streamer.wishes.records import CLAIM_SUFFIX
from tests.product import ONE_FACE, TWO_FACES, needs_clips, observations, result_bytes, streamer, tracks

pytestmark = [pytest.mark.models, pytest.mark.clips, pytest.mark.usefixtures("models"), needs_clips]
NAMES = topics(TopicSettings())
STATE = (NAMES.state.name, NAMES.archive_state.name)
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"\x00\x00\x00\x0cjP", b"ftypavif", b"ftypheic")
LONGEST = 7
"""The seven probabilities: no list of numbers in a record is longer."""
PORCH, YARD, OTHERS = "porch-3e1d", "yard-3e1d", "others-3e1d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip watched as two streams, and one of others: as files, and one of them live."""
    folder = tmp_path_factory.mktemp("private")
    for name, clip in ((PORCH, ONE_FACE), (YARD, ONE_FACE), (OTHERS, TWO_FACES)):
        shutil.copy(clip, folder / f"{name}{clip.suffix}")
    files = sorted(path.name for path in folder.iterdir())
    for options in (files, [f"{PORCH}.mp4", "--mode", "live"]):
        done = streamer("run", *options, "--quiet", cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def everything(database: Path) -> list[Incoming]:
    bus = open_bus(f"sqlite:///{database}", create=False)
    try:
        return list(drain(bus, [topic.name for topic in NAMES.all()]))
    finally:
        bus.close()


def what_may_show(value: Any, longest: int = LONGEST) -> Iterator[str]:
    """What in a decoded value could hold a picture: bytes, pixels, and more numbers than a record has use for."""
    if isinstance(value, dict):
        for one in value.values():
            yield from what_may_show(one, longest)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind != "f" and value.size > LONGEST:
            yield f"an array of {value.dtype} {value.shape}"
    elif isinstance(value, (bytes, msgpack.ExtType)):
        yield f"{len(value)} bytes"
    elif isinstance(value, (list, tuple)):
        if len(value) > longest and not isinstance(value[0], dict):
            yield f"a list of {len(value)}"
        for one in value:
            yield from what_may_show(one, longest)


def states(records: list[Incoming]) -> Iterator[dict[str, Any]]:
    """The body of every checkpoint."""
    values = {r.key: r.value for r in records if r.value is not None and not r.key.endswith(CLAIM_SUFFIX)}
    for key, value in values.items():
        if peek(value).part == 0:
            yield unseal(values, key)[1]


def test_no_topic_holds_a_picture(folder: Path) -> None:
    records = everything(folder / "affect.db")
    seen = {record.topic for record in records if record.value is not None}
    assert {NAMES.archive_observations.name, NAMES.observations.name, *STATE} <= seen
    for record in records:
        value = record.value or b""
        assert [magic for magic in MAGIC if magic in value] == [], record.topic
        if record.topic not in STATE and record.value is not None:
            assert list(what_may_show(msgpack.unpackb(value))) == [], record.topic
    for topic in STATE:
        bodies = list(states([record for record in records if record.topic == topic]))
        assert any("life" in body for body in bodies) or topic == NAMES.state.name
        for body in bodies:
            assert list(what_may_show(body, longest=64)) == []


def test_no_row_of_pixels_is_in_the_file(folder: Path) -> None:
    held = (folder / "affect.db").read_bytes()
    with av.open(str(ONE_FACE)) as container:
        pictures = [
            frame.to_ndarray(format="gray") for _, frame in zip(range(10), container.decode(video=0), strict=False)
        ]
    rows = [row[at : at + 24].tobytes() for picture in pictures for row in picture[::16] for at in range(0, 200, 50)]
    rows = [row for row in rows if len(set(row)) > 8]  # a plain wall is in any file
    assert len(rows) > 100
    assert [row for row in rows if row in held] == []


def test_what_could_show_a_picture_is_noticed() -> None:
    picture = np.zeros((9, 16), np.uint8)
    for planted in (b"\xff\xd8\xff", picture, picture.tobytes(), [0.5] * 8, msgpack.ExtType(1, b"x")):
        assert list(what_may_show({"a": [{"b": planted}]})) != []


def test_a_track_says_nothing_of_who_it_is_beyond_its_stream(folder: Path) -> None:
    """The same face in two streams has nothing in common but what it shows; other faces have the same numbers."""
    by_stream: dict[str, list[Observation]] = {}
    for one in observations(folder / "affect.db"):
        by_stream.setdefault(one.stream, []).append(one)
    porch, yard, others = by_stream[PORCH], by_stream[YARD], by_stream[OTHERS]
    assert [one.probs for one in porch] == [one.probs for one in yard]  # the very same pictures
    assert {one.id for one in porch} & {one.id for one in yard} == set()
    numbers = [{one.track.number for one in stream} for stream in (porch, yard, others)]
    assert numbers[0] == numbers[1]
    assert numbers[0] & numbers[2]
    ids = [{one.id for one in tracks(folder / "affect.db") if one.stream == name} for name in (PORCH, YARD)]
    assert ids[0]
    assert ids[0] & ids[1] == set()


def test_no_record_has_room_for_features_of_a_face() -> None:
    """What would tell who somebody is: the network's features are in checkpoints alone, for who goes on from them."""
    assert Track.__struct_fields__ == ("epoch", "number")
    words = {"feature", "embedding", "identity", "person", "name", "face_id", "crop", "image", "picture", "thumbnail"}
    for kind in (Observation, Window, TrackEvent):
        assert [name for name in kind.__struct_fields__ if any(word in name for word in words)] == []


def test_a_stream_of_a_real_run_is_forgotten(folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "affect.db"
    shutil.copy(folder / "affect.db", database)
    before = result_bytes(database, [YARD, OTHERS])
    mine = [r.value for r in everything(database) if r.key == PORCH.encode() and r.value is not None]
    assert len(mine) > 100
    done = streamer("purge", PORCH, "--yes", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["left"] == 0
    checked = streamer("purge", "--check", PORCH, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert PORCH.encode() not in held
    assert [value for value in mine if value in held] == []
    assert result_bytes(database, [YARD, OTHERS]) == before
    assert streamer("run", folder / f"{YARD}.mp4", "--quiet", cwd=tmp_path).returncode == 0  # it is still a sound bus
