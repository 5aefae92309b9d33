"""Playlists of HLS as values."""

from __future__ import annotations

import pytest

from streamer.decode.hls import MAX_PIECES, Master, NotAPlaylist, Protected, date_s, parse_playlist
from streamer.decode.listing import Blob, Key, Listing, Piece, following, start_of
from streamer.variants import Choice, chosen

URL = "https://host/live/list.m3u8?token=1"


def listing(*lines: str) -> Listing:
    found = parse_playlist("\n".join(("#EXTM3U", *lines)), URL)
    assert isinstance(found, Listing)
    return found


def test_a_live_playlist() -> None:
    found = listing(
        "#EXT-X-VERSION:3",
        "#EXT-X-TARGETDURATION:6",
        "#EXT-X-MEDIA-SEQUENCE:41",
        "#EXT-X-PROGRAM-DATE-TIME:2024-05-01T10:00:00.250Z",
        "#EXTINF:5.5,title, with a comma",
        "a.ts",
        "#EXTINF:6.0,",
        "/b.ts?x=1",
        "#EXT-X-DISCONTINUITY",
        "#EXTINF:4,",
        "https://cdn/c.ts",
        "#EXT-X-GAP",
        "#EXTINF:6,",
        "d.ts",
    )
    begin = date_s("2024-05-01T10:00:00.250Z")
    assert begin is not None
    assert found.pieces == (
        Piece(41, Blob("https://host/live/a.ts"), 5.5, begin),
        Piece(42, Blob("https://host/b.ts?x=1"), 6.0, begin + 5.5),
        Piece(43, Blob("https://cdn/c.ts"), 4.0, None),  # no date is known behind a discontinuity
        Piece(44, Blob("https://host/live/d.ts"), 6.0, None, gap=True),
    )
    assert (found.target_s, found.ended, found.duration_s) == (6.0, False, None)


def test_a_recorded_playlist_of_parts_with_a_header_and_a_key() -> None:
    found = listing(
        "#EXT-X-TARGETDURATION:4",
        '#EXT-X-MAP:URI="init.mp4",BYTERANGE="720@0"',
        '#EXT-X-KEY:METHOD=AES-128,URI="key?a=1,2"',
        "#EXTINF:4,",
        "#EXT-X-BYTERANGE:1000@720",
        "all.mp4",
        '#EXT-X-KEY:METHOD=AES-128,URI="key2",IV=0x10',
        "#EXTINF:3,",
        "#EXT-X-BYTERANGE:500",
        "all.mp4",
        "#EXT-X-KEY:METHOD=NONE",
        "#EXTINF:1,",
        "last.mp4",
        "#EXT-X-ENDLIST",
    )
    header = Blob("https://host/live/init.mp4", (0, 720))
    whole = "https://host/live/all.mp4"
    assert [piece.data for piece in found.pieces] == [
        Blob(whole, (720, 1000)),
        Blob(whole, (1720, 500)),
        Blob("https://host/live/last.mp4"),
    ]
    assert {piece.header for piece in found.pieces} == {header}
    assert [piece.key for piece in found.pieces] == [
        Key("https://host/live/key?a=1,2", bytes(16)),
        Key("https://host/live/key2", bytes(15) + b"\x10"),
        None,
    ]
    assert (found.ended, found.duration_s) == (True, 8.0)


def test_the_qualities_of_a_master_playlist() -> None:
    text = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=90000,CODECS="mp4a.40.2"
sound.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=400000,RESOLUTION=640x360,CODECS="avc1.4d401e,mp4a.40.2"
low.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="i.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1400000,RESOLUTION=1280x720
mid.m3u8
"""
    found = parse_playlist(text, URL)
    assert found == Master(
        (
            Choice("https://host/live/sound.m3u8", 0, 90000, has_video=False),
            Choice("https://host/live/low.m3u8", 360, 400000),
            Choice("https://host/live/mid.m3u8", 720, 1400000),
        )
    )


@pytest.mark.parametrize(
    ("height", "wanted"), [(100, "360b"), (360, "360b"), (361, "720"), (720, "720"), (1080, "720"), (5000, "720")]
)
def test_the_smallest_that_is_high_enough(height: int, wanted: str) -> None:
    choices = [
        Choice("360a", 360, 1),
        Choice("720", 720, 5),
        Choice("360b", 360, 2),
        Choice("sound", 0, 1, has_video=False),
    ]
    found = chosen(choices, height)
    assert found is not None
    assert found.url == wanted
    assert chosen(choices[-1:], height) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "#EXT-X-TARGETDURATION:4",
        "#EXTM3U\n#EXT-X-I-FRAMES-ONLY\na.ts",
        "#EXTM3U\n#EXT-X-BYTERANGE:0@5\na.ts",
        '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0xZZ\na.ts',
        "#EXTM3U\n" + "a.ts\n" * (MAX_PIECES + 1),
    ],
)
def test_what_is_no_playlist(text: str) -> None:
    with pytest.raises(NotAPlaylist):
        parse_playlist(text, URL)


def test_what_only_some_players_may_read() -> None:
    for method in ("SAMPLE-AES", 'AES-128,URI="k",KEYFORMAT="com.apple.streamingkeydelivery"'):
        with pytest.raises(Protected):
            listing(f"#EXT-X-KEY:METHOD={method}", "#EXTINF:1,", "a.ts")


@pytest.mark.parametrize("value", ["nan", "inf", "-3", "1e99", "", "x"])
def test_absurd_durations_are_none(value: str) -> None:
    found = listing(f"#EXT-X-TARGETDURATION:{value}", f"#EXTINF:{value},", "a.ts")
    assert (found.pieces[0].duration_s, found.target_s) == (0.0, 1.0)


def pieces(first: int, n: int, *, ended: bool = False) -> Listing:
    return Listing([Piece(number, Blob(str(number)), 2.0) for number in range(first, first + n)], 2.0, ended)


def numbers(listing: Listing, wanted: int, *, live: bool = True) -> list[int]:
    return [piece.number for piece in following(listing, wanted, live=live)]


def test_where_to_begin() -> None:
    assert start_of(pieces(10, 6), live=True) == 13
    assert start_of(pieces(10, 2), live=True) == 10
    assert start_of(pieces(10, 6), live=False) == 10
    assert start_of(pieces(10, 6, ended=True), live=True) == 10
    assert start_of(pieces(0, 0), live=True) == 0


def test_what_follows() -> None:
    assert numbers(pieces(10, 6), 13) == [13, 14, 15]
    assert numbers(pieces(10, 6), 16) == []
    assert numbers(pieces(10, 6), 17) == [13, 14, 15]  # the sender began anew
    assert numbers(pieces(30, 6), 16) == [33, 34, 35]  # it went on without us
    assert numbers(pieces(30, 6), 16, live=False) == [30, 31, 32, 33, 34, 35]
    assert numbers(pieces(0, 0), 16) == []
