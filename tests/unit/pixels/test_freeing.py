"""Pictures hold their frame for as long as they live, and nothing holds it longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from av.video.frame import VideoFrame

from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from tests.unit.pixels.pictures import frame_in

FORMATS = ["yuv420p", "rgb24", "gray", "rgb565le"]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What only the garbage collector would find stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _frames() -> list[VideoFrame]:
    return [one for one in gc.get_objects() if isinstance(one, VideoFrame)]


def _picture(fmt: str) -> Picture:
    return picture_of(frame_in(fmt))


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_frame_goes_with_its_picture_without_the_garbage_collector(fmt: str) -> None:
    before = len(_frames())
    picture = _picture(fmt)
    assert len(_frames()) > before
    picture.letterbox(64, 48, "rgb")
    del picture
    assert len(_frames()) == before
