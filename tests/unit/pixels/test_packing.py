from __future__ import annotations

import av
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.pixels.packing import ALIGNMENT, PackedPicture, pack, packed_bytes, unpack

FORMATS = ("yuv420p", "nv12", "yuv444p10le", "rgb24", "gray", "yuyv422", "p010le")


def picture(pixel_format: str, width: int = 70, height: int = 46, seed: int = 3) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return picture_of(av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pixel_format))


def shown(one: Picture) -> list[NDArray[np.uint8]]:
    tilted = np.array([[0.7, 0.2, 3.0], [-0.2, 0.7, 9.0]])
    return [one.letterbox(64, 32, "rgb")[0], one.warp(tilted, 40, 40, "bgr", "area", "replicate")]


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_picture_in_shared_memory_shows_what_it_showed(pixel_format: str) -> None:
    one, other = picture(pixel_format), picture(pixel_format, 64, 48, seed=4)
    memory = np.zeros(packed_bytes(one) + packed_bytes(other), np.uint8)
    sent = [pack(one, memory, 0), pack(other, memory, packed_bytes(one))]
    said = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=list[PackedPicture])
    memory.flags.writeable = False
    for before, packed in zip((one, other), said, strict=True):
        after = unpack(packed, memory)
        assert (after.width, after.height) == (before.width, before.height)
        for a, b in zip(shown(before), shown(after), strict=True):
            np.testing.assert_array_equal(a, b)


def test_planes_begin_where_every_sample_size_may() -> None:
    one = picture("yuv420p10le", 33, 21)
    packed = pack(one, np.zeros(packed_bytes(one), np.uint8), 0)
    assert all(plane.offset % ALIGNMENT == 0 for plane in packed.planes)
    assert packed_bytes(one) % ALIGNMENT == 0
