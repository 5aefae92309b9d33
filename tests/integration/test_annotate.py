"""The annotated video of real faces, and the command as a process: what it loads, how it is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.annotate import annotate
from streamer.annotate.layout import layout_for
from streamer.clock import SystemClock
from streamer.colours import COLOURS, rgb
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.messages import Observation
from streamer.sources import parse
from streamer.types import UInt8Array
from tests.product import LEAVES, NO_FACE, ONE_FACE, TWO_FACES, needs_clips, observations, start, streamer, until
from tests.terminal import Terminal, plain
from tests.unit.annotate.scenes import Remembered, clip, seen, times

CLIPS = (ONE_FACE, LEAVES, TWO_FACES, NO_FACE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models: None) -> Path:
    """A folder where the clips were analysed and drawn."""
    folder = tmp_path_factory.mktemp("annotate")
    done = streamer("run", *CLIPS, "--offline", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def pictures(video: Path) -> Iterator[tuple[int, UInt8Array]]:
    """The pts and the upright RGB picture of every frame, in the colours that the file says."""
    with open_source(parse(str(video))[0], DecodeSettings(), SystemClock()) as decoder:
        for frame in decoder:
            plain_map = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
            yield frame.pts, frame.picture.warp(plain_map, frame.picture.width, frame.picture.height, "rgb")


def edge_is(image: UInt8Array, seen: Observation, wh: tuple[int, int], colour: str) -> bool:
    """Whether most of the box's left and right sides have the colour, as well as a film keeps it."""
    left, top, width, height = seen.box_xywh
    rows = np.linspace((top + 0.15 * height) * wh[1], (top + 0.85 * height) * wh[1], 20).astype(int)
    for column in (left * wh[0] + 1, (left + width) * wh[0] - 2):
        near = image[rows, max(0, int(column) - 1) : int(column) + 2].astype(int)
        distance = np.abs(near - rgb(colour)).max(axis=-1).min(axis=-1)
        if (distance < 70).mean() < 0.7:
            return False
    return True


@needs_clips
@pytest.mark.models
@pytest.mark.clips
@pytest.mark.parametrize("video", CLIPS, ids=lambda path: path.stem)
def test_boxes_are_where_faces_were_seen_and_times_and_sound_are_the_clips(place: Path, video: Path) -> None:
    done = streamer("annotate", video, "--json", "--force", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    written = place / f"{video.stem}-annotated.mp4"
    assert told["video"] == written.name
    found_on_bus = [one for one in observations(place / "affect.db") if one.stream == video.stem]
    assert told["faces"] == told["observations"] == len(found_on_bus)
    assert (len(found_on_bus) == 0) == (video == NO_FACE)
    assert times(written) == times(video)
    assert told["frames"] == len(times(video))
    by_pts: dict[int | None, list[Observation]] = {}
    for one in found_on_bus:
        by_pts.setdefault(one.pts, []).append(one)
    checked = found = 0
    layout = None
    for (pts, before), (_, image) in zip(pictures(video), pictures(written), strict=True):
        layout = layout or layout_for(before.shape[1], before.shape[0])
        assert image.shape[:2] == layout.size_wh[::-1]
        wide, high = layout.picture_wh
        for one in by_pts.get(pts, []):
            if one.label is not None:
                checked += 1
                found += edge_is(image, one, (wide, high), COLOURS[one.label])
        if pts not in by_pts:
            assert np.abs(image[:high, :wide].astype(int) - before).mean() < 4, "a frame without a face stays as it is"
    assert found >= 0.9 * checked
    assert checked > 20 or video == NO_FACE
    assert packets_of_sound(written) == packets_of_sound(video)
    assert told["sound"] == ("copied" if packets_of_sound(video) else None)


def packets_of_sound(video: Path) -> list[tuple[Fraction, bytes]]:
    """Every packet of the first sound stream with its time, to a millisecond."""
    with av.open(str(video)) as container:
        if not container.streams.audio:
            return []
        stream = container.streams.audio[0]
        return [
            (round(packet.pts * packet.time_base, 3), bytes(packet))
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        ]


def test_both_homes_of_the_bus_are_read(tmp_path: Path, bus_url: str, prefix: str) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(10), codec="mpeg4")
    bus = Remembered(tmp_path, bus_url, prefix)
    bus.run(video, run="r-old", finished_s=500.0)
    bus.run(video, lambda number, t: [seen(1), seen(2, box=(0.6, 0.2, 0.2, 0.4))], run="r-new")
    done = annotate(bus.open, str(video), out=tmp_path / "shown.mp4", prefix=prefix)
    assert (done.choice.run, done.choice.others) == ("r-new", 1)
    assert (done.frames, done.faces, done.observations) == (10, 20, 20)


def test_nothing_is_inferred_so_no_engine_is_loaded(tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(5), codec="mpeg4")
    Remembered(tmp_path).run(video)
    program = (
        "import sys\n"
        "from streamer.cli import main\n"
        "try: main(['annotate', 'talk.mp4', '--thumbnails', 'faces'])\n"
        "except SystemExit as left: assert left.code == 0, left\n"
        "heavy = ('openvino', 'torch', 'onnx', 'engines.runtime', 'streamer.faces', 'streamer.state',\n"
        "         'streamer.batching', 'streamer.pipeline', 'streamer.worker.supervisor', 'plotly', 'kafka')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"
    assert (tmp_path / "faces" / "clip-track1.jpg").is_file()


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small video that takes a while to be drawn, since it is enlarged: seconds on any machine."""
    folder = tmp_path_factory.mktemp("long")
    video = clip(folder / "long.mp4", size=(64, 48), pts=range(6000), codec="mpeg4")
    Remembered(folder).run(video, lambda number, t: [])
    return folder


def test_ending_it_from_outside_leaves_nothing(long: Path) -> None:
    before = set(long.iterdir())
    process = start("annotate", "long.mp4", cwd=long)
    until(
        lambda: any(path.name.endswith(".part") and path.stat().st_size for path in long.iterdir()), "the film's begin"
    )
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "")
    assert set(long.iterdir()) == before


def test_interrupting_at_the_keyboard_leaves_the_terminal_clean_and_no_file(long: Path) -> None:
    before = set(long.iterdir())
    terminal = Terminal("annotate", "long.mp4", cwd=long)
    terminal.read_until(lambda text: "frames/s" in plain(text) and "running" in plain(text))
    terminal.type("\x03")
    code, screen = terminal.close()
    assert code == 130
    assert "Traceback" not in terminal.text
    assert screen.cursor_is_shown
    assert not [line for line in screen.lines if line.strip("^C \r")]
    assert set(long.iterdir()) == before


def test_a_disk_that_is_full_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    video = clip(tmp_path / "talk.mp4", pts=range(100), codec="mpeg4")
    Remembered(tmp_path).run(video)
    before = set(tmp_path.iterdir())
    program = (
        "import resource, signal\n"
        "from streamer.annotate import annotate\n"
        "from streamer.bus.open import open_bus\n"
        "from streamer.errors import StreamerError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "def show(progress): resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        "try: annotate(lambda: open_bus('sqlite:///affect.db', create=False), 'talk.mp4', show=show)\n"
        "except StreamerError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("cannot write talk-annotated.mp4: File too large; choose a place you may write to\n")
    assert set(tmp_path.iterdir()) == before
