"""Manifests of DASH as values."""

from __future__ import annotations

import pytest

from streamer.decode.dash import duration_s, parse_manifest
from streamer.decode.hls import NotAPlaylist, Protected
from streamer.decode.listing import Blob, Listing

URL = "https://host/show/live.mpd?token=1"
BEGAN_S = 1714557600.0  # 2024-05-01T10:00:00Z


def manifest(body: str, kind: str = "static", **attributes: str) -> Listing | Blob:
    told = "".join(f' {key}="{value}"' for key, value in attributes.items())
    text = f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="{kind}"{told}>{body}</MPD>'
    return parse_manifest(text.encode(), URL, 480, BEGAN_S + 100.0)


def pieces(found: Listing | Blob) -> list[tuple[str, float]]:
    assert isinstance(found, Listing)
    return [(piece.data.url.removeprefix("https://host/show/"), piece.duration_s) for piece in found.pieces]


def test_numbered_segments_of_a_recording() -> None:
    found = manifest(
        """<Period><AdaptationSet mimeType="audio/mp4"><Representation id="a"/></AdaptationSet>
        <AdaptationSet mimeType="video/mp4">
          <SegmentTemplate timescale="1000" duration="4000" startNumber="5"
            initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%03d$$$.m4s"/>
          <Representation id="low" height="360" bandwidth="1"/><Representation id="mid" height="720" bandwidth="2"/>
          <Representation id="high" height="1080" bandwidth="3"/>
        </AdaptationSet></Period>""",
        mediaPresentationDuration="PT9.5S",
    )
    assert pieces(found) == [("mid/005$.m4s", 4.0), ("mid/006$.m4s", 4.0), ("mid/007$.m4s", 4.0)]
    assert isinstance(found, Listing)
    assert found.ended
    assert {piece.header for piece in found.pieces} == {Blob("https://host/show/mid/init.mp4")}


LIVE = """<Period id="0" start="PT0S"><AdaptationSet contentType="video"><Representation id="0" mimeType="video/mp4">
  <SegmentTemplate timescale="90000" initialization="i.m4s" media="{media}" startNumber="{first}"{duration}>
  {timeline}</SegmentTemplate></Representation></AdaptationSet></Period>"""
CLOCK = {"availabilityStartTime": "2024-05-01T10:00:00Z"}


def test_a_timeline_that_slides_keeps_its_pieces_apart() -> None:
    """The first number rises as the oldest segments go; a piece is still the same piece."""
    timeline = '<SegmentTimeline><S t="{t}" d="90000" r="2"/><S d="45000"/></SegmentTimeline>'
    one = manifest(
        LIVE.format(media="$Number$.m4s", first=1, duration="", timeline=timeline.format(t=0)), "dynamic", **CLOCK
    )
    two = manifest(
        LIVE.format(media="$Number$.m4s", first=2, duration="", timeline=timeline.format(t=90000)), "dynamic", **CLOCK
    )
    assert pieces(one) == [("1.m4s", 1.0), ("2.m4s", 1.0), ("3.m4s", 1.0), ("4.m4s", 0.5)]
    assert isinstance(one, Listing)
    assert isinstance(two, Listing)
    assert [piece.number for piece in two.pieces][:2] == [piece.number for piece in one.pieces][1:3]
    assert not two.ended


def test_times_in_names_and_repeats_up_to_the_next() -> None:
    timeline = '<SegmentTimeline><S t="10" d="100" r="-1"/><S t="310" d="50"/></SegmentTimeline>'
    found = manifest(LIVE.format(media="$Time$.m4s", first=1, duration="", timeline=timeline), "dynamic", **CLOCK)
    assert [name for name, _ in pieces(found)] == ["10.m4s", "110.m4s", "210.m4s", "310.m4s"]


def test_live_segments_that_are_only_numbered_are_counted_by_the_clock() -> None:
    duration = ' duration="360000"'  # 4 s, 100 s after it began
    found = manifest(LIVE.format(media="$Number$.m4s", first=1, duration=duration, timeline=""), "dynamic", **CLOCK)
    names = [name for name, _ in pieces(found)]
    assert (names[0], names[-1]) == ("1.m4s", "25.m4s")


def test_one_file() -> None:
    found = manifest(
        """<Period><AdaptationSet mimeType="video/mp4"><Representation id="a" height="720">
        <BaseURL>movie.mp4</BaseURL><SegmentBase indexRange="700-900"/></Representation></AdaptationSet></Period>"""
    )
    assert found == Blob("https://host/show/movie.mp4")


def test_a_list_of_parts() -> None:
    found = manifest(
        """<BaseURL>data/</BaseURL><Period><AdaptationSet mimeType="video/mp4"><Representation id="a">
        <SegmentList timescale="10" duration="20"><Initialization sourceURL="a.mp4" range="0-99"/>
        <SegmentURL media="a.mp4" mediaRange="100-299"/><SegmentURL media="b.mp4"/></SegmentList>
        </Representation></AdaptationSet></Period>"""
    )
    assert isinstance(found, Listing)
    assert [piece.data for piece in found.pieces] == [
        Blob("https://host/show/data/a.mp4", (100, 200)),
        Blob("https://host/show/data/b.mp4"),
    ]
    assert found.pieces[0].header == Blob("https://host/show/data/a.mp4", (0, 100))


def test_periods_one_after_the_other() -> None:
    period = """<Period duration="PT2S"><AdaptationSet mimeType="video/mp4"><Representation id="a">
      <SegmentTemplate duration="1" media="{}$Number$.m4s"/></Representation></AdaptationSet></Period>"""
    found = manifest(period.format("x") + period.format("y"))
    assert [name for name, _ in pieces(found)] == ["x1.m4s", "x2.m4s", "y1.m4s", "y2.m4s"]
    assert isinstance(found, Listing)
    numbers = [piece.number for piece in found.pieces]
    assert numbers == sorted(set(numbers))


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><MPD>&b;</MPD>'


@pytest.mark.parametrize("text", [b"", b"<html/>", b"<MPD>", b"\xff\xfe", b"<MPD><Period/></MPD>", BOMB])
def test_what_is_no_manifest(text: bytes) -> None:
    with pytest.raises(NotAPlaylist):
        parse_manifest(text, URL, 480, 0.0)


def test_segments_without_a_length_and_far_too_many() -> None:
    for inside in ('<SegmentTimeline><S d="0"/></SegmentTimeline>', ""):
        with pytest.raises(NotAPlaylist):
            manifest(LIVE.format(media="a", first=1, duration="", timeline=inside), "dynamic", **CLOCK)
    many = '<SegmentTimeline><S d="1" r="99999999999"/></SegmentTimeline>'
    with pytest.raises(NotAPlaylist):
        manifest(LIVE.format(media="a", first=1, duration="", timeline=many), "dynamic", **CLOCK)


def test_what_only_some_players_may_read() -> None:
    with pytest.raises(Protected):
        manifest(
            """<Period><AdaptationSet mimeType="video/mp4"><ContentProtection schemeIdUri="urn:uuid:x"/>
            <Representation id="a"/></AdaptationSet></Period>"""
        )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1.5S", 1.5), ("PT1H2M3S", 3723.0), ("P1DT1S", 86401.0), ("PT0S", 0.0), ("", None), ("P", None), ("5", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds
