"""From a video and a bus to an mp4: frames, times, sound, colours, what fails and what then stays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamer.annotate import Annotated, Progress, annotate
from streamer.annotate.film import Film
from streamer.annotate.layout import layout_for
from streamer.clock import SystemClock
from streamer.colours import COLOURS, rgb
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.errors import NotAVideo, SourceTruncated, UsageError
from streamer.pixels.colour import ColourSpace
from streamer.sources import parse
from tests.unit.annotate.scenes import Remembered, clip, seen, times

Draw = Callable[..., Annotated]
HAPPY = COLOURS["Happy"]


@pytest.fixture
def bus(tmp_path: Path) -> Remembered:
    return Remembered(tmp_path)


@pytest.fixture
def draw(bus: Remembered, tmp_path: Path) -> Draw:
    def run(video: Path | str, **options: Any) -> Annotated:
        return annotate(bus.open, str(video), **({"out": tmp_path / "out" / "shown.mp4"} | options))

    return run


def picture(video: Path, number: int = 0) -> np.ndarray:
    """One frame in RGB, converted as the file says it is to be."""
    with open_source(parse(str(video))[0], DecodeSettings(), SystemClock()) as decoder:
        shown = next(itertools.islice(iter(decoder), number, None)).picture
        plain = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        return shown.warp(plain, shown.width, shown.height, "rgb")


def has_box(image: np.ndarray, box: tuple[float, ...], wh: tuple[int, int], colour: str = HAPPY) -> bool:
    """Whether the middle of each side of `box` has the colour, as well as a film keeps it."""
    width, height = wh
    left, top, right, bottom = box[0] * width, box[1] * height, (box[0] + box[2]) * width, (box[1] + box[3]) * height
    x, y = (left + right) / 2, (top + bottom) / 2
    sides = ((y, left + 1), (y, right - 2), (top + 1, x), (bottom - 2, x))
    near = [image[int(r) - 1 : int(r) + 2, int(c) - 1 : int(c) + 2].reshape(-1, 3) for r, c in sides]
    return all(np.abs(pixels.astype(int) - rgb(colour)).max(axis=1).min() < 70 for pixels in near)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("uneven.mkv", {"pts": [0, 40, 41, 90, 200, 201, 1000], "time_base": Fraction(1, 1000)}),
        ("late.mp4", {"pts": range(30), "start_s": 1.4}),
        ("ticks.ts", {"pts": range(30), "start_s": 1.4}),
        ("between.ts", {"pts": range(7, 7 + 30 * 3600, 3600), "time_base": Fraction(1, 90_000), "start_s": 1.4}),
        ("fine.mp4", {"pts": range(0, 30 * 3003, 3003), "time_base": Fraction(1, 90_000)}),
        ("film.mkv", {"pts": range(20), "time_base": Fraction(1001, 24_000)}),
        ("animated.gif", {"codec": "gif", "pixels": "rgb8", "pts": [0, 4, 20, 30], "time_base": Fraction(1, 100)}),
    ],
)  # fmt: skip
def test_every_frame_is_there_once_at_its_own_time(
    bus: Remembered, draw: Draw, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    video = clip(tmp_path / name, **options)
    bus.run(video)
    done = draw(video)
    assert times(done.path) == times(video)
    assert done.frames == done.faces == done.observations == len(times(video))
    assert done.failure is None


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_lie_on_the_picture_as_it_is_shown(bus: Remembered, draw: Draw, tmp_path: Path, rotation: int) -> None:
    video = clip(tmp_path / "turned.mp4", pts=range(3), rotation=rotation, marked=True)
    box = (0.1, 0.3, 0.5, 0.3)
    bus.run(video, lambda number, t: [seen(box=box)])
    done = draw(video)
    upright = (640, 360) if rotation % 180 == 0 else (360, 640)
    layout = layout_for(*upright)
    assert done.size_wh == layout.size_wh
    image, source = picture(done.path), picture(video)
    assert has_box(image, box, layout.picture_wh)
    wide, high = layout.picture_wh
    corners = [image[y, x].mean() for y in (9, high - 9) for x in (9, wide - 9)]
    assert corners == pytest.approx([source[y, x].mean() for y in (5, -5) for x in (5, -5)], abs=4)
    assert max(corners) - min(corners) > 40


@pytest.mark.parametrize(
    ("codec", "pixels", "size"),
    [
        ("ffv1", "yuv420p10le", (640, 360)), ("ffv1", "yuv444p", (640, 360)), ("ffv1", "bgr0", (640, 360)),
        ("ffv1", "gray", (640, 360)), ("rawvideo", "nv12", (640, 360)), ("rawvideo", "yuyv422", (640, 360)),
        ("ffv1", "yuv420p", (431, 241)), ("ffv1", "yuv420p", (64, 2)),
    ],
)  # fmt: skip
def test_whatever_the_pixels_the_picture_stays_and_the_box_has_its_colour(
    bus: Remembered, draw: Draw, tmp_path: Path, codec: str, pixels: str, size: tuple[int, int]
) -> None:
    video = clip(tmp_path / "any.mkv", pts=range(2), codec=codec, pixels=pixels, size=size)
    box = (0.25, 0.25, 0.5, 0.5)
    bus.run(video, lambda number, t: [seen(box=box)])
    done = draw(video)
    layout = layout_for(*size)
    image = picture(done.path)
    assert image.shape[:2] == layout.size_wh[::-1]
    wide, high = layout.picture_wh
    assert np.abs(image[high - 2, wide - 2].astype(int) - picture(video)[-1, -1]).max() <= 6
    if size[1] > 2:
        assert has_box(image, box, (wide, high))


def test_pixels_that_are_not_square_are_shown_square(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = tmp_path / "wide.mkv"
    with av.open(str(video), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 15)
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((576, 720, 3), 90, np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    box = (0.5, 0.5, 0.25, 0.25)
    bus.run(video, lambda number, t: [seen(box=box)])
    done = draw(video)
    assert done.size_wh[0] == 768
    assert has_box(picture(done.path), box, layout_for(768, 576).picture_wh)


def test_a_folder_of_images_is_a_video_too(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    for k in range(4):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((360, 640, 3), 90, np.uint8))
    bus.run(folder)
    done = draw(folder)
    assert [float(t) for t in times(done.path)] == [0.0, 0.04, 0.08, 0.12]
    assert has_box(picture(done.path), (0.25, 0.25, 0.25, 0.5), (640, 360))


def test_a_video_without_a_face_is_a_good_film_without_a_box(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = clip(tmp_path / "empty.mp4", sound="aac")
    bus.run(video, lambda number, t: [])
    done = draw(video)
    assert (done.frames, done.faces, done.observations, done.failure) == (50, 0, 0, None)
    assert times(done.path) == times(video)
    before, after = picture(video), picture(done.path)[:360]
    assert np.abs(before.astype(int) - after.astype(int)).max() <= 4
    assert done.sound == "copied"


def test_the_film_is_h264_that_every_player_takes_and_begins_with_its_index(
    bus: Remembered, draw: Draw, tmp_path: Path
) -> None:
    video = clip(tmp_path / "talk.mp4")
    bus.run(video)
    done = draw(video)
    content = done.path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(done.path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.profile) == ("h264", "yuv420p", "High")
        assert stream.average_rate == 25
        assert context.colorspace == 6, "said, since players guess it from the height, which is another now"
    assert (done.path.stat().st_mode & 0o777) == (video.stat().st_mode & 0o777)


def sound_of(video: Path) -> tuple[np.ndarray, float]:
    """Samples of one channel at their rate of 44,100 or 48,000, and when the first is heard."""
    with av.open(str(video)) as container:
        stream = container.streams.audio[0]
        found = list(container.decode(stream))
        first = next(frame for frame in found if frame.pts is not None)
        samples = np.concatenate([frame.to_ndarray().reshape(-1).astype(np.float64) for frame in found])
        assert first.pts is not None
        assert first.time_base is not None
        return samples / np.abs(samples).max(), float(first.pts * first.time_base)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "told"),
    [
        ("a.mp4", "aac", 44100, "copied"), ("b.mkv", "libmp3lame", 44100, "copied"), ("c.mkv", "libopus", 48000, "aac"),
        ("d.avi", "pcm_s16le", 44100, "aac"), ("e.ts", "aac", 44100, "copied"), ("f.mkv", "flac", 44100, "aac"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start_s", [0.0, 1.4])
def test_sound_is_kept_and_heard_when_it_was(
    bus: Remembered, draw: Draw, tmp_path: Path, name: str, codec: str, rate: int, told: str, start_s: float
) -> None:
    video = clip(
        tmp_path / name, sound=codec, rate=rate, start_s=0.0 if name.endswith("avi") else start_s, codec="mpeg4"
    )
    bus.run(video)
    done = draw(video)
    assert done.sound == told
    assert done.sound_left_out == 0
    (before, before_s), (after, after_s) = sound_of(video), sound_of(done.path)
    lead_s = float(times(video)[0]) - float(times(done.path)[0])
    assert abs(after.size - before.size) / rate < 0.1
    assert abs(lead_s) < 1e-9
    assert abs(onset_s(before, before_s, rate) - onset_s(after, after_s, rate)) < 0.03
    if told == "copied":
        with av.open(str(done.path)) as container:
            assert container.streams.audio[0].codec_context.name.removesuffix("float") == codec.removeprefix(
                "lib"
            ).removesuffix("lame")


def onset_s(samples: np.ndarray, first_s: float, rate: int) -> float:
    """When the tone begins."""
    loud = np.flatnonzero(np.abs(samples) > 0.5)
    return first_s + float(loud[0]) / rate


def test_two_voices_are_both_kept(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    single = clip(tmp_path / "one.mkv", sound="libmp3lame")
    video = tmp_path / "two.mkv"
    with av.open(str(single)) as source, av.open(str(video), "w") as out:
        sound = source.streams.audio[0]
        film = out.add_stream_from_template(source.streams.video[0])
        voices = [out.add_stream_from_template(sound) for _ in range(2)]
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                packet.stream = film
                out.mux(packet)
                continue
            content, at, base = bytes(packet), packet.pts, packet.time_base
            for voice in voices:
                copy: Any = av.Packet(content)
                copy.pts = copy.dts = at
                copy.time_base, copy.stream = base, voice
                out.mux(copy)
    bus.run(video)
    done = draw(video)
    with av.open(str(done.path)) as container:
        assert len(container.streams.audio) == 2


@pytest.mark.parametrize("then_s", [3.0, 63.0])
def test_a_count_that_begins_anew_goes_on_in_the_film_with_its_sound(
    bus: Remembered, draw: Draw, tmp_path: Path, then_s: float
) -> None:
    parts = [clip(tmp_path / f"{s}.ts", pts=range(50), start_s=s, sound="aac", codec="mpeg4") for s in (3.0, then_s)]
    video = tmp_path / "joined.ts"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    bus.run(video)
    done = draw(video)
    shown = [float(t) for t in times(done.path)]
    assert len(shown) == 100
    assert done.faces == 100
    assert np.diff(shown) == pytest.approx(0.04, abs=0.001)
    with av.open(str(done.path)) as container:
        heard = [float(p.pts * p.time_base) for p in container.demux(container.streams.audio[0]) if p.pts is not None]
    assert heard[-1] == pytest.approx(shown[-1], abs=0.15)
    assert (np.diff(heard) > 0).all()


def test_what_a_cut_file_gives_is_kept_and_the_cause_is_told(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mp4", options={"movflags": "faststart"}, sound="aac", pts=range(100))
    video = tmp_path / "cut.mp4"
    content = whole.read_bytes()
    video.write_bytes(content[: len(content) * 3 // 4])
    bus.run(video, state="failed")
    done = draw(video)
    assert isinstance(done.failure, SourceTruncated)
    assert 0 < done.frames < 100
    assert len(times(done.path)) == done.frames == done.faces


def test_a_picture_that_changes_its_size_ends_the_film_there(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = tmp_path / "changing.ts"
    parts = [clip(tmp_path / f"{k}.ts", size=size, pts=range(10)) for k, size in enumerate([(640, 360), (320, 240)])]
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    bus.run(video, state="failed")
    done = draw(video)
    assert done.failure is not None
    assert done.failure.cause == "resolution_changed"
    assert (done.frames, done.faces) == (10, 10)


def test_what_holds_no_frame_leaves_no_file(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00" * 5000)
    with pytest.raises(NotAVideo, match=r"broken\.mp4 is no video"):
        draw(broken)
    assert not (tmp_path / "out").exists()


def test_an_interruption_leaves_nothing(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", sound="aac")
    bus.run(video)
    out = tmp_path / "out" / "shown.mp4"

    def at_frame_20(progress: Progress) -> None:
        if progress.frames == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(video, show=at_frame_20)
    assert list(out.parent.iterdir()) == []
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        draw(video, show=at_frame_20, force=True)
    assert out.read_text() == "old"
    assert list(out.parent.iterdir()) == [out]


def test_progress_tells_how_far_it_is(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4")
    bus.run(video)
    told: list[Progress] = []
    draw(video, show=told.append)
    assert [one.frames for one in told] == list(range(1, 51))
    last = told[-1]
    assert (last.stream, last.frames, last.faces) == ("clip", 50, 50)
    assert (last.position_s, last.duration_s) == pytest.approx((1.96, 2.0))


def test_the_source_is_never_replaced_and_others_only_when_asked(
    bus: Remembered, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(5))
    bus.run(video)
    content = video.read_bytes()
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    for target in (video, link):
        with pytest.raises(UsageError, match="is the video itself"):
            draw(video, out=target, force=True)
    monkeypatch.chdir(tmp_path)
    assert draw(video, out=None).path == Path("talk-annotated.mp4")
    with pytest.raises(UsageError, match=r"talk-annotated\.mp4 is there already: .*--force"):
        draw(video, out=None)
    draw(video, out=None, force=True)
    with pytest.raises(UsageError, match=r"ends in \.mp4"):
        draw(video, out=tmp_path / "shown.avi")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        draw(video, out=tmp_path / "folder.mp4")
    assert video.read_bytes() == content


@pytest.mark.parametrize("video", ["rtsp://camera/live", "testsrc://64x48@25?duration=1", "0"])
def test_only_a_recording_can_be_drawn_into(draw: Draw, video: str) -> None:
    with pytest.raises(UsageError, match="is no file"):
        draw(video)


def test_several_videos_are_not_one(draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for name in ("a.mp4", "b.mp4"):
        clip(tmp_path / "many" / name, pts=range(2))
    with pytest.raises(UsageError, match="is 2 videos: name one"):
        draw(tmp_path / "many")


def test_a_stream_can_be_named_as_it_was_run(bus: Remembered, tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(5))
    bus.run(video, run="r-left", stream="left")
    bus.run(video, run="r-right", stream="right", finished_s=2000.0)
    done = annotate(bus.open, f"left={video}", out=tmp_path / "o.mp4")
    assert done.choice.run == "r-left"
    pattern = annotate(bus.open, str(tmp_path / "ta*.mp4"), out=tmp_path / "p.mp4")
    assert pattern.choice.run == "r-right"


def test_no_picture_of_a_face_is_kept_unless_asked_for(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(10))
    bus.run(video)
    before = set(tmp_path.rglob("*"))
    done = draw(video)
    assert done.thumbnails == []
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "out", done.path}


def test_thumbnails_are_one_a_track_from_its_best_moment(bus: Remembered, draw: Draw, tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(40))

    def faces(number: int, t: float) -> list[Any]:
        first = seen(1, box=(0.1, 0.1, 0.2, 0.4), face_px=10.0 + 50 * (number == 30), detector_score=0.9)
        low = seen(2, box=(0.6, 0.1, 0.2, 0.4), label=None, quality="low", face_px=90.0)
        good = seen(2, box=(0.6, 0.1, 0.2, 0.4), face_px=20.0)
        return [first, good if number == 10 else low]

    bus.run(video, faces, stream="door")
    folder = tmp_path / "faces"
    done = draw(video, thumbnails=folder)
    assert done.thumbnails == [folder / "door-track1.jpg", folder / "door-track2.jpg"]
    # Each frame of the clip has a brightness of its own.
    for path, number in zip(done.thumbnails, (30, 10), strict=True):
        image = cv2.imread(str(path))
        assert image is not None
        assert image.shape == (160, 160, 3)
        assert abs(float(image.mean()) - float(picture(video, number)[100, 100].mean())) < 2.5
    with pytest.raises(UsageError, match=r"door-track1\.jpg is there already"):
        draw(video, thumbnails=folder, out=tmp_path / "again.mp4")
    assert not (tmp_path / "again.mp4").exists()
    draw(video, thumbnails=folder, out=tmp_path / "again.mp4", force=True)
    with pytest.raises(UsageError, match="it is no folder"):
        draw(video, thumbnails=video, out=tmp_path / "more.mp4")


def test_frames_that_share_a_tick_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with Film(path, (640, 360), ColourSpace("yuv", "bt709", False), Fraction(1, 25), 25.0) as film:
        for at in (0, 1, 1, 1, 2):
            frame, canvas = film.blank()
            canvas.fill(0, 0, 640, 360, "#808080")
            film.write(frame, Fraction(at, 25))
        film.finish()
    shown = times(path)
    assert len(set(shown)) == 5
    assert all(abs(t - Fraction(at, 25)) < Fraction(1, 1000) for t, at in zip(shown, (0, 1, 1, 1, 2), strict=True))
