from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.sources.expiry import expires_at

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("url", "at_s"),
    [
        ("https://r1.googlevideo.example/videoplayback?expire=1700021600&ei=x&ip=1", 1700021600),
        ("https://m.example/api/manifest/hls_playlist/expire/1700021600/ei/x/playlist/index.m3u8", 1700021600),
        ("https://h/a.mp4?Expires=1700000060&Signature=abc&Key-Pair-Id=K", 1700000060),
        ("https://h/a.m3u8?exp=1700000060", 1700000060),
        ("https://h/a.m3u8?e=1700000060123", 1700000060.123),
        ("https://h/a.mp4?X-Amz-Date=20231114T221320Z&X-Amz-Expires=300&X-Amz-Signature=x", NOW_S + 300),
        ("https://h/a.mp4?X-Goog-Expires=300&X-Goog-Date=20231114T221320Z", NOW_S + 300),
        ("https://h/a.m3u8?hdnts=exp=1700000300~acl=/*~hmac=abc", 1700000300),
        ("https://h/hdntl=exp=1700000300~acl=%2f*~hmac=abc/a.m3u8?hdntl=exp%3D1700000300~acl%3D*", 1700000300),
        ("https://h/exp=1700000300,x/a.m3u8", 1700000300),
        ("https://h/a?expires=1700000900&exp=1700000300", 1700000300),
        ("https://h/a?expires=1699999999&exp=1700000300", 1700000300),
    ],
)
def test_what_an_address_says_about_its_end(url: str, at_s: float) -> None:
    assert expires_at(url, NOW_S) == at_s


@pytest.mark.parametrize(
    "url",
    [
        "https://h/a.mp4",
        "https://h/a.mp4?expires=3600",
        "https://h/a.mp4?expires=never",
        "https://h/a.mp4?expires=1699999999",
        "https://h/a.mp4?X-Amz-Date=yesterday&X-Amz-Expires=300",
        "https://h/a.mp4?X-Amz-Date=20231114T221320Z",
        "https://h/expire/17000/a.mp4",
        "https://h/a.mp4?e=٠١٢٣٤٥٦٧٨٩",
        "https://[h/a.mp4?expire=1700021600",
    ],
)
def test_what_says_nothing_lasts(url: str) -> None:
    assert expires_at(url, NOW_S) is None


@given(st.text(max_size=60), st.dictionaries(st.sampled_from(["e", "exp", "X-Amz-Date", "X-Amz-Expires"]), st.text()))
@settings(derandomize=True, deadline=None)
def test_any_address_lasts_or_has_an_end_to_come(path: str, options: dict[str, str]) -> None:
    at_s = expires_at(f"https://h/{path}?" + "&".join(f"{name}={value}" for name, value in options.items()), NOW_S)
    assert at_s is None or at_s > NOW_S
