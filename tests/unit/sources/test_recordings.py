from __future__ import annotations

from urllib.parse import urljoin

import pytest

from streamer.decode import hls
from streamer.decode.listing import chosen
from streamer.sources.recordings import goes_on, manifest, segments, variant

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
"""
PIECES = """#EXTM3U
#EXT-X-TARGETDURATION:6
#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:00Z
#EXTINF:6.0,
https://edge{edge}.example/v/seg0.ts?token={token}
#EXTINF:4.2,
seg1.ts?token={token}
{end}
"""


@pytest.mark.parametrize(
    ("height_px", "address"),
    [
        (360, "360.m3u8?t=1"),
        (361, "https://cdn/rich720.m3u8?t=1"),
        (720, "https://cdn/rich720.m3u8?t=1"),
        (2000, "https://cdn/rich720.m3u8?t=1"),
    ],
)
def test_the_variant_is_the_smallest_that_is_high_enough(height_px: int, address: str) -> None:
    assert variant(MASTER, height_px) == address
    listing = hls.parse_playlist(MASTER, "https://h/m.m3u8")
    assert isinstance(listing, hls.Master)
    choice = chosen(listing.choices, height_px)
    assert choice is not None
    assert choice.url == urljoin("https://h/m.m3u8", address), "the decoder reads another one"


def test_segments_have_no_variants() -> None:
    assert variant(PIECES, 480) is None
    assert variant("", 480) is None


def test_segments_are_the_same_however_they_are_signed_and_whoever_serves_them() -> None:
    one = segments(PIECES.format(edge=1, token="a", end="#EXT-X-ENDLIST"))
    assert one == segments(PIECES.format(edge=2, token="b", end="#EXT-X-ENDLIST"))
    assert one == ["#EXTINF:6.0,", "/v/seg0.ts", "#EXTINF:4.2,", "seg1.ts"]
    assert one != segments(PIECES.replace("4.2", "4.3").format(edge=1, token="a", end=""))


def test_what_has_no_end_goes_on() -> None:
    assert goes_on(PIECES.format(edge=1, token="a", end=""))
    assert not goes_on(PIECES.format(edge=1, token="a", end="#EXT-X-ENDLIST"))
    assert goes_on('<?xml version="1.0"?><MPD xmlns="urn:x" type="dynamic" minBufferTime="PT2S">')
    assert not goes_on("<MPD type='static'>")
    assert not goes_on("<MPD>")


@pytest.mark.parametrize("token", ["a", "b&amp;x=1"])
def test_a_manifest_is_the_same_however_it_is_signed(token: str) -> None:
    text = (
        f'<?xml version="1.0"?>\n<MPD publishTime="{token}"><BaseURL>v.mp4?t={token}</BaseURL>'
        f'<SegmentURL media="s1.m4s?t={token}"/></MPD>'
    )
    assert manifest(text) == '<?xml version="1.0"?> <MPD><BaseURL>v.mp4</BaseURL><SegmentURL media="s1.m4s"/></MPD>'
