from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.sources.formats import address_in, choose, kind_of


def made(name: str, height: int | None, **fields: Any) -> dict[str, Any]:
    given = {"format_id": name, "url": f"https://h/{name}", "protocol": "https", "height": height, "vcodec": "avc1.64"}
    return given | fields


def chosen(formats: list[dict[str, Any]], height_px: int = 480, *, is_live: bool = False, now_s: float = 0.0) -> str:
    found = choose(formats, height_px, is_live=is_live, now_s=now_s)
    return "" if found is None else str(found["format_id"])


def test_the_smallest_that_is_high_enough_is_taken_else_the_highest() -> None:
    heights = [made(str(height), height) for height in (144, 360, 720, 1080)] + [made("?", None)]
    assert [chosen(heights, wanted) for wanted in (100, 144, 400, 720, 2000)] == ["144", "144", "720", "720", "1080"]
    assert chosen([made("?", None), made("96", 96)]) == "96"
    assert chosen([made("?", None)]) == "?"


def test_of_one_height_what_decodes_cheaply_is_taken() -> None:
    codecs = ["av01.0.04M.08", "hev1.1", None, "vp09.00", "avc1.4d"]
    formats = [made(str(codec), 480, vcodec=codec) for codec in codecs]
    order = []
    while formats:
        order.append(chosen(formats))
        formats = [one for one in formats if one["format_id"] != order[-1]]
    assert order == ["avc1.4d", "vp09.00", "None", "hev1.1", "av01.0.04M.08"]


def test_then_without_sound_and_with_fewer_bits() -> None:
    formats = [
        made("sound", 480, acodec="mp4a", tbr=100),
        made("much", 480, acodec="none", tbr=900),
        made("little", 480, acodec="none", tbr=300),
    ]
    assert chosen(formats) == "little"


def test_a_live_one_is_read_as_hls_and_a_recorded_one_as_a_file() -> None:
    formats = [
        made("file", 480),
        made("hls", 480, protocol="m3u8_native"),
        made("dash", 480, protocol="http_dash_segments", manifest_url="https://h/x.mpd"),
    ]
    assert chosen(formats, is_live=True) == "hls"
    assert chosen(formats, is_live=False) == "file"


def test_what_cannot_be_read_yet_comes_after_what_can_be() -> None:
    formats = [made("soon", 480, available_at=1010), made("now", 480, protocol="m3u8_native", vcodec="vp9")]
    assert chosen(formats, now_s=1000.0) == "now"
    assert chosen(formats, now_s=1010.0) == "soon"


@pytest.mark.parametrize(
    "fields",
    [
        {"vcodec": "none"},
        {"protocol": "mhtml"},
        {"protocol": "websocket_frag"},
        {"protocol": "ftp"},
        {"protocol": None},
        {"has_drm": True},
        {"protocol": "http_dash_segments"},
    ],
)
def test_what_is_no_video_or_cannot_be_read_is_never_taken(fields: dict[str, Any]) -> None:
    assert chosen([made("x", 480, **fields)]) == ""


def test_of_dash_the_manifest_is_opened() -> None:
    dash = made("x", 480, protocol="http_dash_segments", manifest_url="https://h/x.mpd")
    assert (kind_of(dash), address_in(dash)) == ("dash", "https://h/x.mpd")
    assert (kind_of(made("x", 1)), address_in(made("x", 1))) == ("http", "https://h/x")


@given(st.lists(st.tuples(st.integers(1, 3000) | st.none(), st.sampled_from(["avc1", "av01", None])), max_size=8))
@settings(derandomize=True, deadline=None)
def test_no_listed_order_and_no_missing_field_matters(heights: list[tuple[int | None, str | None]]) -> None:
    formats = [made(f"{height} {codec}", height, vcodec=codec) for height, codec in heights]
    assert chosen(formats) == chosen(formats[::-1])
    enough = [height for height, _ in heights if height and height >= 480]
    if enough:
        assert chosen(formats).startswith(f"{min(enough)} ")
