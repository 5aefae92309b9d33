"""Photos as cameras and telephones write them: turned and mirrored by their EXIF, which PyAV has no name for."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamer.pixels.frames import picture_of
from tests.unit.pixels.pictures import colourful, difference

WIDTH, HEIGHT = 128, 96
SHOWN = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}
"""How the stored picture is meant to be shown, by the EXIF tag 274."""


def photo(orientation: int) -> bytes:
    """`colourful` as JPEG with an EXIF block: a maker's name and an orientation."""
    frame = VideoFrame.from_ndarray(colourful(WIDTH, HEIGHT), "rgb24").reformat(format="yuvj444p")
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuvj444p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "1", "qmax": "1"}
    jpeg = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    maker = struct.pack("<HHI4s", 271, 2, 4, b"abc\0")
    turned = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 2) + maker + turned + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("orientation", SHOWN)
def test_a_photo_is_shown_as_its_exif_says(orientation: int) -> None:
    with av.open(io.BytesIO(photo(orientation)), "r") as container:
        [frame] = container.decode(video=0)
    picture = picture_of(frame)
    expected = SHOWN[orientation](colourful(WIDTH, HEIGHT))
    assert (picture.height, picture.width) == expected.shape[:2]
    seen, scale = picture.letterbox(picture.width, picture.height, "rgb")
    assert scale == 1.0
    assert difference(seen, expected)[0] < 4.0
