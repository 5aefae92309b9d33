from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.errors import SourceUnsupported, StreamerError, UsageError
from streamer.source import is_stream_id
from streamer.sources import parse, parse_all
from streamer.sources.addresses import written


@pytest.mark.parametrize(
    ("text", "kind", "stream"),
    [
        ("rtsp://u:pw@cam1:554/Streaming/Channels/101", "rtsp", "cam1-Streaming-Channels-101"),
        ("rtspt://10.0.0.7/1", "rtsp", "10.0.0.7-1"),
        ("RTSPS://cam/live.sdp", "rtsp", "cam-live"),
        ("rtspu://[fe80::7]:8554/", "rtsp", "fe80__7"),
        ("rtmp://host/live/door", "rtmp", "host-live-door"),
        ("rtmps://host/live/door", "rtmp", "host-live-door"),
        ("srt://host:9000?passphrase=geheim&streamid=u%3Dme", "srt", "host"),
        ("https://cdn.example/cam1/index.m3u8", "hls", "cdn.example-cam1"),
        ("https://cdn.example/a/b.M3U8?token=x", "hls", "cdn.example-a-b"),
        ("https://cdn.example/vod/film.mpd", "dash", "cdn.example-vod-film"),
        ("http://cam/axis-cgi/mjpg/video.cgi?resolution=640x480", "mjpeg", "cam-axis-cgi-mjpg"),
        ("http://cam/video.mjpg", "mjpeg", "cam-video"),
        ("http://cam/front.mjpeg", "mjpeg", "cam-front"),
        ("https://www.youtube.com/watch?v=jNQXAC9IVRw&t=3s", "page", "youtube-jNQXAC9IVRw"),
        ("https://youtu.be/jNQXAC9IVRw", "page", "youtube-jNQXAC9IVRw"),
        ("https://m.youtube.com/live/jNQXAC9IVRw", "page", "youtube-jNQXAC9IVRw"),
        ("https://www.youtube.com/@somebody/live", "page", "youtube-somebody-live"),
        ("https://www.youtube.com/playlist?list=PL123", "page", "youtube-PL123"),
        ("https://twitch.tv/somebody", "page", "twitch-somebody"),
        ("https://vimeo.com/76979871", "page", "vimeo-76979871"),
        ("page+https://www.city.example/webcams/square.html", "page", "city.example-webcams-square"),
        ("hls+https://h.example/play?id=5", "hls", "h.example-play"),
        ("dash+http://h.example/manifest", "dash", "h.example-manifest"),
        ("mjpeg+http://cam/?action=stream", "mjpeg", "cam"),
        ("http+https://h.example/film.mjpeg", "http", "film"),
        ("http+https://h.example/film.pls", "http", "film.pls"),
        ("https://video.dailymotion.com/film.mp4", "http", "film"),
        ("https://notyoutube.com/watch.mp4", "http", "watch"),
        ("https://youtube.com.evil.example/x.mp4", "http", "x"),
        ("https://h.example/page", "http", "page"),
    ],
)
def test_what_an_address_is_and_what_it_is_called(text: str, kind: str, stream: str) -> None:
    (source,) = parse(text)
    assert (source.kind, source.stream, source.mode) == (kind, stream, "archive" if kind == "http" else "live")
    assert source.url == (text.partition("+")[2] if "+http" in text else text)


@pytest.mark.parametrize("text", ["https://h/a.m3u8", "https://h/a.mpd", "https://youtu.be/jNQXAC9IVRw"])
def test_what_may_be_a_recording_is_an_archive_when_asked_to(text: str) -> None:
    assert parse(text, "archive")[0].mode == "archive"


@pytest.mark.parametrize("text", ["rtsp://c/1", "rtmp://c/1", "srt://c:1", "http://c/a.mjpg", "0", "webcam://1"])
def test_what_never_ends_is_no_archive(text: str) -> None:
    assert parse(text, "live")[0].mode == "live"
    with pytest.raises(UsageError, match="never ends"):
        parse(text, "archive")


@pytest.mark.parametrize(
    "url",
    [
        "udp://u:geheim@239.0.0.1:5000",
        "rtp://u:geheim@h",
        "mmsh://u:geheim@h/x?token=geheim",
        "rtmpe://u:geheim@h/x",
        "rtsph://u:geheim@h/x",
        "http://u:geheim@h/radio.pls",
        "http://h/x.ism?sig=geheim",
        "srt://:geheim@h:9000?mode=listener&passphrase=geheim",
        "file:///etc/passwd?secret=geheim",
        "concat://h/?secret=geheim",
        "hls+rtsp://u:geheim@h/x",
        "page+page+https://u:geheim@h/x",
    ],
)
def test_what_this_version_does_not_read(url: str) -> None:
    with pytest.raises(SourceUnsupported, match="this version") as caught:
        parse(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://[bad/clip.mp4", "names no host"),
        ("rtsp:///1", "names no host"),
        ("page+https://", "names no host"),
        ("https://u:geheim@/x", "names no host"),
        ("rtsp://u:geheim@cam:99999/", "names a port"),
        ("rtsp://cam:x/", "names a port"),
        ("srt://host", "names no port"),
        ("http://a\\@b/x", "names no host"),
        ("http://h/\x1b[2J", "cannot be printed"),
    ],
)
def test_addresses_that_are_none(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse(url)
    assert "geheim" not in str(caught.value)


def test_cameras_of_one_recorder_are_told_apart_by_what_is_no_secret() -> None:
    one = "rtsp://admin:geheim@nvr/cam/realmonitor?channel={}&subtype=0&token=geheim"
    names = [source.stream for source in parse_all([one.format(1), one.format(2)])]
    assert names == [f"nvr-cam-realmonitor-channel-{n}-subtype-0" for n in (1, 2)]


def test_sources_that_differ_in_their_secrets_only_get_numbers() -> None:
    first, second = parse_all(["rtsp://a:1@cam/x", "rtsp://b:2@cam/x"])
    assert second.stream == f"{first.stream}-2"
    assert [source.stream for source in parse_all(["rtsp://a:9@cam/x", "rtsp://b:8@cam/x"])] == [
        first.stream,
        second.stream,
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://h/{}/index.m3u8",
        "https://h/token={}/a.m3u8",
        "rtsp://cam/user=admin&password={}&channel=1/x.sdp",
        "rtsp://cam/1?auth={}",
        "rtsp://cam/1?usr={}",
        "rtsp://{0}:{0}@cam/1",
    ],
)
def test_no_part_of_a_name_is_a_token(url: str) -> None:
    secret = "a8f3kz9q7w5m2n4bx6vd"
    for source in parse_all([url.format(secret), url.format("other" + secret)]):
        assert secret not in source.stream


def test_one_address_as_two_kinds_is_two_sources() -> None:
    assert [source.kind for source in parse_all(["https://h/x", "page+https://h/x", "https://h/x"])] == ["http", "page"]


SECRET = "qGeheim7"
_WORDS = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_.~%/:@[]?&=#+é顔١。"), max_size=24)
_SCHEMES = st.sampled_from(
    [
        "http",
        "https",
        "rtsp",
        "rtspu",
        "rtmps",
        "srt",
        "hls+https",
        "dash+http",
        "mjpeg+http",
        "page+https",
        "http+http",
        "x",
    ]
)
_ADDRESSES = st.one_of(
    st.builds("{}://{}".format, _SCHEMES, _WORDS),
    st.builds("{}://{}:{}@host{}".format, _SCHEMES, st.just(SECRET), st.just(SECRET), st.sampled_from(["", ":80"])),
    st.builds("{}://u:{}@host/{}?token={}".format, _SCHEMES, st.just(SECRET), _WORDS, st.just(SECRET)),
    st.builds("{}://host/{}?a=1&api_key={}#{}".format, _SCHEMES, _WORDS, st.just(SECRET), _WORDS),
)


@given(_ADDRESSES, st.sampled_from(["auto", "live", "archive"]))
@example("http://[::1%25é]/", "auto")
@example("rtsp://\u2100/", "auto")
@settings(derandomize=True, deadline=None, max_examples=500)
def test_any_address_is_a_source_or_one_sentence_and_tells_no_secret(text: str, mode: str) -> None:
    try:
        (source,) = parse(text, mode)  # type: ignore[arg-type]
    except StreamerError as error:
        told = str(error)
        assert told.endswith(".")
        assert ". " not in re.sub(r"\S+://\S*", "", told)
        assert "\n" not in told
        assert SECRET not in told
        return
    assert is_stream_id(source.stream)
    assert SECRET not in source.stream + source.name + repr(source)
    (again,) = parse(written(source), source.mode)
    assert again == source


@given(st.lists(_ADDRESSES, max_size=6))
@settings(derandomize=True, deadline=None)
def test_streams_of_one_command_have_names_of_their_own(texts: list[str]) -> None:
    try:
        sources = parse_all(texts)
    except StreamerError:
        return
    assert len({source.stream for source in sources}) == len(sources)
