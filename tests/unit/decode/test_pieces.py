"""HLS and DASH from a real web server: what is read, in which order, when it was, and what ends it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from streamer import errors
from streamer.clock import Clock, FakeClock, SystemClock
from streamer.config import ConnectSettings, DecodeSettings
from streamer.decode import Decoder, open_source
from streamer.http_io import MAX_PLAYLIST_BYTES
from streamer.messages import Mode
from streamer.source import Address, Kind
from tests.unit.decode.test_aes import KEY, VECTOR
from tests.unit.decode.test_decoder import kept
from tests.unit.decode.videos import pictures, write_video
from tests.web import Request, Site, fixed, moved, site, source_of

N = 25
BEGAN_S = 1_700_000_000.0
DATE = "2023-11-14T22:13:20.000Z"


def segment(folder: Path, index: int, **options: object) -> bytes:
    """A second of video whose time stamps follow those of the segment before."""
    path = folder / f"{index}.ts"
    return write_video(path, pictures(N), "libx264", first_pts=N * index, key_interval=N, **options).read_bytes()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("segments")
    return [segment(folder, index) for index in range(8)]


def playlist(numbers: range, *lines: str, ended: bool = True, name: str = "{}.ts", seconds: str = "1.0") -> bytes:
    head = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{numbers.start}", *lines]
    body = [f"#EXTINF:{seconds},\n{name.format(number)}" for number in numbers]
    return "\n".join([*head, *body, *(["#EXT-X-ENDLIST"] if ended else [])]).encode()


def serve(web: Site, segments: list[bytes]) -> None:
    web.pages |= {f"/{number}.ts": fixed(data) for number, data in enumerate(segments)}


def opened(
    url: str, kind: Kind = "hls", mode: Mode = "archive", clock: Clock | None = None, **settings: object
) -> Decoder:
    connect = ConnectSettings(**settings)  # type: ignore[arg-type]
    return open_source(source_of(url, kind, mode), DecodeSettings(), clock or FakeClock(BEGAN_S + 60, 0.0), connect)


def test_a_recording_is_read_to_its_end(segments: list[bytes]) -> None:
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(playlist(range(8)))
        with opened(f"{web.url}/list.m3u8") as decoder:
            assert decoder.info.duration_s == 8.0
            frames, error = kept(decoder)
        assert error is None
        assert [frame.media_time_s for frame in frames] == pytest.approx([at / 25 for at in range(8 * N)])
        assert {(frame.capture_time_s, frame.time_origin) for frame in frames} == {(None, "none")}
        assert web.paths == ["/list.m3u8", *(f"/{number}.ts" for number in range(8))]


def test_dates_are_tied_to_time_stamps(segments: list[bytes]) -> None:
    """One date, then a discontinuity to earlier time stamps with a date of its own."""
    lines = playlist(range(3), f"#EXT-X-PROGRAM-DATE-TIME:{DATE}", ended=False).decode()
    later = "2023-11-14T22:14:20.000+00:00"
    lines += f"\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:{later}\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST"
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(lines.encode())
        frames, error = kept(opened(f"{web.url}/list.m3u8"))
    assert error is None
    assert {frame.time_origin for frame in frames} == {"program_date_time"}
    true = [BEGAN_S + at / 25 for at in range(3 * N)] + [BEGAN_S + 60 + at / 25 for at in range(N)]
    assert [frame.capture_time_s for frame in frames] == pytest.approx(true, abs=0.001)


def test_a_date_that_cannot_be_is_not_believed(segments: list[bytes]) -> None:
    for date in ("1999-12-31T23:59:59Z", "2023-11-16T22:13:20Z", "1970-01-01T00:00:00Z"):
        with site() as web:
            serve(web, segments)
            web.pages["/list.m3u8"] = fixed(playlist(range(1), f"#EXT-X-PROGRAM-DATE-TIME:{date}"))
            frames, _ = kept(opened(f"{web.url}/list.m3u8"))
        assert {frame.time_origin for frame in frames} == {"none"}


@pytest.mark.parametrize("b_frames", [0, 2])
def test_fragmented_mp4_with_its_dates(tmp_path: Path, b_frames: int) -> None:
    clip = write_video(tmp_path / "clip.mp4", pictures(4 * N), "libx264", b_frames=b_frames, key_interval=N)
    made = av.open(
        str(tmp_path / "list.m3u8"), "w", format="hls",
        options={"hls_segment_type": "fmp4", "hls_time": "1", "hls_list_size": "0", "hls_flags": "program_date_time"},
    )  # fmt: skip
    with made, av.open(str(clip)) as video:
        stream = made.add_stream_from_template(video.streams.video[0])
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    with site() as web:
        for path in tmp_path.iterdir():
            web.pages[f"/{path.name}"] = fixed(path.read_bytes())
        frames, error = kept(opened(f"{web.url}/list.m3u8", clock=SystemClock()))
    assert error is None
    assert len(frames) == 4 * N
    assert {frame.time_origin for frame in frames} == {"program_date_time"}
    captured = [frame.capture_time_s - frame.media_time_s for frame in frames if frame.capture_time_s]
    assert max(captured) - min(captured) < 0.002  # one line through all segments
    text = (tmp_path / "list.m3u8").read_text()
    first = next(line for line in text.splitlines() if line.startswith("#EXT-X-PROGRAM-DATE-TIME:"))
    from streamer.decode.hls import date_s

    assert frames[0].capture_time_s == pytest.approx(date_s(first.partition(":")[2]), abs=0.0011)


def test_the_quality_that_is_high_enough_is_the_only_one_fetched(segments: list[bytes]) -> None:
    master = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=320x180
low/list.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=1280x720
mid/list.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3,RESOLUTION=1920x1080
high/list.m3u8"""
    with site() as web:
        web.pages["/show/master.m3u8"] = fixed(master.encode())
        web.pages["/show/mid/list.m3u8"] = fixed(playlist(range(2)))
        web.pages |= {f"/show/mid/{number}.ts": fixed(segments[number]) for number in range(2)}
        frames, error = kept(opened(f"{web.url}/show/master.m3u8"))
        assert error is None
        assert len(frames) == 2 * N
        assert {path.split("/")[-2] for path in web.paths} == {"show", "mid"}


def test_addresses_are_of_where_a_redirect_led_to(segments: list[bytes]) -> None:
    with site() as web:
        web.pages["/list.m3u8"] = moved("/there/list.m3u8")
        web.pages["/there/list.m3u8"] = fixed(playlist(range(1)))
        web.pages["/there/0.ts"] = fixed(segments[0])
        frames, error = kept(opened(f"{web.url}/list.m3u8"))
    assert error is None
    assert len(frames) == N


def test_encrypted_segments(segments: list[bytes], tmp_path: Path) -> None:
    if subprocess.run(["openssl", "version"], capture_output=True, check=False).returncode:
        pytest.skip("openssl is not installed")
    secret = subprocess.run(
        ["openssl", "enc", "-aes-128-cbc", "-K", KEY.hex(), "-iv", VECTOR.hex()],
        input=segments[0],
        capture_output=True,
        check=True,
    ).stdout
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="key",IV=0x{VECTOR.hex()}'
    with site() as web:
        web.pages |= {
            "/list.m3u8": fixed(playlist(range(1), key)),
            "/0.ts": fixed(secret),
            "/key": fixed(KEY),
        }
        frames, error = kept(opened(f"{web.url}/list.m3u8"))
        assert error is None
        assert len(frames) == N
        web.pages["/key"] = fixed(bytes(16))
        with pytest.raises(errors.SourceUnsupported, match="another key"):
            opened(f"{web.url}/list.m3u8")


class Live:
    """A live playlist that slides: a segment more each time it is asked for."""

    def __init__(self, web: Site, segments: list[bytes], *, window: int = 4, last: int = 8) -> None:
        self.next, self.window, self.last = window, window, last
        serve(web, segments)
        web.pages["/list.m3u8"] = self.give

    def give(self, request: Request) -> None:
        numbers = range(max(0, self.next - self.window), self.next)
        self.next = min(self.last, self.next + 1)
        request.give(playlist(numbers, f"#EXT-X-PROGRAM-DATE-TIME:{DATE}", ended=self.next == self.last))


def test_a_live_stream_is_joined_near_its_end_and_paced(segments: list[bytes]) -> None:
    with site() as web:
        Live(web, segments)
        clock = FakeClock(BEGAN_S + 60, 0.0)
        decoder = opened(f"{web.url}/list.m3u8", mode="live", clock=clock)
        frames, error = kept(decoder)
    assert error is None
    assert "/0.ts" not in web.paths  # four were there, the last three are read
    assert [frame.media_time_s for frame in frames] == pytest.approx([at / 25 for at in range(len(frames))])
    arrivals = [frame.arrival_s - BEGAN_S - 60 for frame in frames]
    assert arrivals == pytest.approx([at / 25 for at in range(len(frames))])
    assert clock.now_s == pytest.approx(BEGAN_S + 60 + frames[-1].media_time_s)


def test_a_segment_that_is_gone_is_left_out_of_a_live_stream_but_ends_a_recording(segments: list[bytes]) -> None:
    with site() as web:
        serve(web, segments)
        del web.pages["/2.ts"]
        web.pages["/list.m3u8"] = fixed(playlist(range(4)))
        frames, error = kept(opened(f"{web.url}/list.m3u8"))
        assert isinstance(error, errors.SourceUnreachable)
        assert len(frames) == 2 * N

    def window(request: Request) -> None:
        gone = any(path == "/3.ts" for path in web.paths)
        request.give(playlist(range(4, 8) if gone else range(6), ended=gone))

    with site() as web:
        serve(web, segments)
        del web.pages["/3.ts"]
        web.pages["/list.m3u8"] = window
        frames, error = kept(opened(f"{web.url}/list.m3u8", mode="live"))
    assert error is None
    assert len(frames) == 4 * N


def test_a_stream_that_stands_still_has_stalled(segments: list[bytes]) -> None:
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(playlist(range(2), ended=False))
        decoder = opened(f"{web.url}/list.m3u8", mode="live", no_frame_s=0.2)
        frames, error = kept(decoder)
    assert isinstance(error, errors.SourceStalled)
    assert len(frames) == 2 * N


def test_silence_between_two_segments_is_a_sign_of_life(segments: list[bytes]) -> None:
    """`beat_s` stays fresh until the next segment is overdue; then it is as old as the last sign."""
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(playlist(range(1), ended=False))
        clock = SystemClock()
        decoder = opened(f"{web.url}/list.m3u8", mode="live", clock=clock, no_frame_s=0.5, open_timeout_s=2)
        with decoder:
            frames = iter(decoder)
            last = [next(frames) for _ in range(N - 1)][-1]
            overdue_s = clock.monotonic_s() + 30
            while (now_s := clock.monotonic_s()) - decoder.beat_s < 0.5:
                assert now_s < overdue_s
                time.sleep(0.01)
            assert clock.monotonic_s() - last.arrival_s > 0.5
            assert decoder.beat_s >= last.arrival_s - 0.5  # the sign, then the frame


def test_another_thread_ends_the_wait_for_a_segment(segments: list[bytes]) -> None:
    asked = threading.Event()

    def hang(request: Request) -> None:
        asked.set()
        request.site.until_closed.wait()

    with site() as web:
        serve(web, segments)
        web.pages["/1.ts"] = hang
        web.pages["/list.m3u8"] = fixed(playlist(range(2)))
        decoder = opened(f"{web.url}/list.m3u8", open_timeout_s=600)
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(len(kept(decoder)[0])))
        thread.start()
        assert asked.wait(20)
        decoder.interrupt()
        thread.join(20)
        assert not thread.is_alive()
        assert done[0] <= N


@pytest.mark.parametrize("status", [401, 403])
def test_an_address_that_expired_says_so(segments: list[bytes], status: int) -> None:
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(playlist(range(3)))
        web.pages["/1.ts"] = fixed(b"", status)
        source = source_of(f"{web.url}/list.m3u8", "hls", "live")
        address = Address(source.url, "hls", (), BEGAN_S)
        frames, error = kept(open_source(source, DecodeSettings(), FakeClock(), ConnectSettings(), address))
    assert len(frames) == N
    assert type(error) is (errors.SourceExpired if status == 403 else errors.SourceUnauthorized)


HOSTILE: list[tuple[str, type[errors.SourceError]]] = [
    ("file:///etc/passwd", errors.AddressRefused),
    ("concat:/etc/passwd|/etc/hosts", errors.AddressRefused),
    ("data:text/plain,x", errors.AddressRefused),
    ("crypto+file:///etc/passwd", errors.AddressRefused),
    ("subfile,,start,0,end,9,,:/etc/passwd", errors.SourceError),
    ("tcp://127.0.0.1:22", errors.AddressRefused),
    ("http://127.0.0.2:1/a.ts", errors.AddressRefused),
    ("http://169.254.169.254/latest/meta-data", errors.AddressRefused),
    ("http://localhost:1/a.ts", errors.AddressRefused),
    ("http://[::1]:1/a.ts", errors.AddressRefused),
    ("http://2130706434/a.ts", errors.AddressRefused),
]
WAYS = {
    "segment": "#EXTINF:1,\n{}",
    "header": '#EXT-X-MAP:URI="{}"\n#EXTINF:1,\n0.ts',
    "key": '#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:1,\n0.ts',
    "master": "#EXT-X-STREAM-INF:BANDWIDTH=1\n{}",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("to", "error"), HOSTILE)
def test_a_playlist_that_leads_inside(
    segments: list[bytes], to: str, error: type[errors.SourceError], way: str
) -> None:
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(f"#EXTM3U\n{WAYS[way].format(to)}\n#EXT-X-ENDLIST".encode())
        with pytest.raises(error):
            kept_or_raised(opened(f"{web.url}/list.m3u8"))


def kept_or_raised(decoder: Decoder) -> None:
    """Read it all; what ends it is raised."""
    _, error = kept(decoder)
    if error is not None:
        raise error


def test_a_manifest_that_leads_inside() -> None:
    text = """<MPD type="static"><BaseURL>file:///etc/</BaseURL><Period duration="PT2S">
    <AdaptationSet mimeType="video/mp4"><Representation id="a"><SegmentTemplate duration="1" media="passwd"/>
    </Representation></AdaptationSet></Period></MPD>"""
    with site() as web:
        web.pages["/a.mpd"] = fixed(text.encode())
        with pytest.raises(errors.AddressRefused):
            opened(f"{web.url}/a.mpd", "dash")


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (fixed(b""), errors.NotAVideo),
        (fixed(b"<html>"), errors.NotAVideo),
        (fixed(b"#EXTM3U\n#EXT-X-ENDLIST"), errors.NotAVideo),
        (fixed(b"#EXTM3U\n" + b"#" * MAX_PLAYLIST_BYTES), errors.SourceUnsupported),
        (fixed(b'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="mp4a.40.2"\na.m3u8'), errors.NoVideoStream),
        (fixed(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8"), errors.NotAVideo),
        (fixed(b"#EXTM3U\n#EXTINF:1,\nlist.m3u8\n#EXT-X-ENDLIST"), errors.NotAVideo),
        (fixed(b"#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES\n#EXTINF:1,\na.ts"), errors.SourceUnsupported),
    ],
)
def test_playlists_that_are_none(page: Callable[[Request], None], error: type[errors.SourceError]) -> None:
    with site() as web:
        web.pages["/list.m3u8"] = page
        with pytest.raises(error):
            opened(f"{web.url}/list.m3u8")


def test_dash_from_the_manifest_to_the_frames(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", pictures(4 * N), "libx264", key_interval=N)
    made = av.open(str(tmp_path / "a.mpd"), "w", format="dash", options={"seg_duration": "0.9"})
    with made, av.open(str(clip)) as video:
        stream = made.add_stream_from_template(video.streams.video[0])
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    with site() as web:
        for path in tmp_path.iterdir():
            web.pages[f"/{path.name}"] = fixed(path.read_bytes())
        frames, error = kept(opened(f"{web.url}/a.mpd", "dash"))
    assert error is None
    assert [frame.media_time_s for frame in frames] == pytest.approx([at / 25 for at in range(4 * N)], abs=0.001)


def test_only_key_frames(segments: list[bytes]) -> None:
    with site() as web:
        serve(web, segments)
        web.pages["/list.m3u8"] = fixed(playlist(range(4)))
        decoder = opened(f"{web.url}/list.m3u8")
        decoder.keyframes_only = True
        frames, error = kept(decoder)
    assert error is None
    assert [frame.media_time_s for frame in frames] == pytest.approx([0.0, 1.0, 2.0, 3.0])
