from __future__ import annotations

import pytest

from streamer.sources.recordings import goes_on, manifest, segments

PIECES = """#EXTM3U
#EXT-X-TARGETDURATION:6
#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:00Z
#EXTINF:6.0,
https://edge{edge}.example/v/seg0.ts?token={token}
#EXTINF:4.2,
seg1.ts?token={token}
{end}
"""


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
