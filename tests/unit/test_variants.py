"""Which of the qualities of a stream is read."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from streamer.variants import Choice, choices_in, chosen

URL = "https://h/v/m.m3u8"
MASTER = """#EXTM3U
#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=9,BANDWIDTH=800000,RESOLUTION=640x360
360.m3u8?t=1
#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=1280x720
poor720.m3u8
#EXT-X-STREAM-INF:PROGRAM-ID=1,RESOLUTION=1280x720,BANDWIDTH=3000000
https://cdn/rich720.m3u8?t=1
#EXT-X-STREAM-INF:BANDWIDTH=9000000
unknown.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9000000,URI="i.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=90000000,CODECS="mp4a.40.2"
sound.m3u8
"""


@pytest.mark.parametrize(
    ("height_px", "address"),
    [
        (360, "360.m3u8?t=1"),
        (361, "https://cdn/rich720.m3u8?t=1"),
        (720, "https://cdn/rich720.m3u8?t=1"),
        (2000, "https://cdn/rich720.m3u8?t=1"),
        (0, "unknown.m3u8"),
    ],
)
def test_the_variant_is_the_smallest_that_is_high_enough(height_px: int, address: str) -> None:
    choices = choices_in(MASTER, URL)
    assert choices is not None
    choice = chosen(choices, height_px)
    assert choice is not None
    assert choice.url == urljoin(URL, address)


def test_sound_alone_is_never_chosen() -> None:
    assert chosen([Choice("a", 0, 9, has_video=False)], 480) is None
    assert chosen([], 480) is None


@pytest.mark.parametrize(
    "text", ["", "#EXTM3U\n#EXTINF:6.0,\nseg0.ts\n", '#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:URI="i"\n']
)
def test_segments_have_no_variants(text: str) -> None:
    assert choices_in(text, URL) is None


def test_a_master_that_names_none() -> None:
    assert choices_in("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", URL) == ()
