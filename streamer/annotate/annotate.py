"""From a video and the records of it to a video that shows them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer

from streamer.annotate.canvas import output_space
from streamer.annotate.drawing import Drawing
from streamer.annotate.film import CODEC, Film
from streamer.annotate.layout import layout_for
from streamer.annotate.recorded import Recording, RunChoice, recording_of
from streamer.annotate.sound import Sound
from streamer.annotate.thumbnails import Thumbnails
from streamer.bus.protocol import Bus
from streamer.clock import SystemClock
from streamer.config import ConnectSettings, DecodeSettings
from streamer.decode import Decoder, open_source
from streamer.decode.opening import open_container, video_stream
from streamer.errors import SourceError, StreamerError, UsageError
from streamer.files import replacing
from streamer.progress import printable
from streamer.source import Address, Source
from streamer.sources import parse, session_of
from streamer.types import Frame

_ENDINGS = (".mp4", ".m4v")
_UNKNOWN = 2  # of primaries and transfer, in H.273


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: seconds of video done, of `duration_s` (None where the file does not say)."""

    stream: str
    position_s: float
    duration_s: float | None
    frames: int
    faces: int


@dataclass(slots=True)
class Annotated:
    """What was written. `faces` of the run's `observations` are drawn; `failure` is what ended the source early, the
    frames before it being in the file."""

    path: Path
    choice: RunChoice
    observations: int
    size_wh: tuple[int, int] = (0, 0)
    codec: str = CODEC
    sound: str | None = None
    sound_left_out: int = 0
    frames: int = 0
    faces: int = 0
    duration_s: float = 0.0
    wall_s: float = 0.0
    size_bytes: int = 0
    thumbnails: list[Path] = field(default_factory=list)
    failure: SourceError | None = None


def annotate(
    bus: Callable[[], Bus],
    video: str,
    *,
    out: Path | None = None,
    run: str | None = None,
    stream: str | None = None,
    prefix: str = "affect",
    thumbnails: Path | None = None,
    force: bool = False,
    decode: DecodeSettings = DecodeSettings(),  # noqa: B008 (immutable)
    show: Callable[[Progress], None] = lambda _: None,
) -> Annotated:
    """Draw what a run on the bus saw in `video` into a copy of it, `out` or `VIDEO-annotated.mp4` in this folder.

    The run is the newest done one of the file's very bytes; `run` and `stream` choose another. The file appears whole
    or not at all. A source that ends in a failure after some frames gives a file of those, and the failure.
    Raises `UsageError` for a file that was never analysed and a place that cannot be written, `SourceError` for what
    is no video, `BusError` where the bus cannot be read. No model is loaded.
    """
    source, named = _source(video)
    path = out or Path(f"{Path(source.url).stem}-annotated.mp4")
    _check_place(path, source, force=force)
    began_s = time.monotonic()
    with open_source(source, decode, SystemClock()) as decoder:
        opened = bus()
        try:
            session = session_of(source)
            recording = recording_of(opened, source, session, prefix=prefix, run=run, stream=stream or named)
        finally:
            opened.close()
        small = Thumbnails(thumbnails, recording, force=force) if thumbnails is not None else None
        done = Annotated(path, recording.choice, recording.n)
        with replacing(path) as part, _explained():
            _draw(source, decoder, recording, small, done, part, show, decode.max_pixels)
            done.size_bytes = part.stat().st_size
    if small is not None:
        done.thumbnails = small.write()
    done.wall_s = time.monotonic() - began_s
    return done


def _source(video: str) -> tuple[Source, str | None]:
    """The file, and the stream's name where `NAME=FILE` gives one."""
    sources = parse(video)
    if len(sources) != 1:
        raise UsageError(f"{printable(video)} is {len(sources)} videos: name one of them")
    source = sources[0]
    if source.kind not in ("file", "images"):
        raise UsageError(f"{printable(source.name)} is no file: annotate draws into a recorded video")
    name, equals, _ = video.partition("=")
    return source, source.stream if equals and name == source.stream and not os.path.lexists(video) else None


def _check_place(path: Path, source: Source, *, force: bool) -> None:
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"cannot write {path}: it is an mp4 that is written, so give a name that ends in .mp4")
    if not path.exists():
        return
    if path.samefile(source.url):
        raise UsageError(f"{path} is the video itself: choose another name with --out")
    if not force and not path.is_dir():
        raise UsageError(f"{path} is there already: choose another name with --out, or replace it with --force")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What FFmpeg says where a film cannot be written, as the system's word or ours."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, os.strerror(error.errno)) from error
        raise StreamerError(f"the video could not be encoded: {error}") from error


def _draw(
    source: Source,
    decoder: Decoder,
    recording: Recording,
    small: Thumbnails | None,
    done: Annotated,
    part: Path,
    show: Callable[[Progress], None],
    max_pixels: int,
) -> None:
    """Draw every frame that `decoder` gives into the film at `part`."""
    frames = iter(decoder)
    first = next(frames)
    fps = decoder.info.fps or 25.0
    drawing = Drawing(recording, layout_for(first.picture.width, first.picture.height), fps)
    done.size_wh = drawing.layout.size_wh
    start = first.pts * first.time_base
    with ExitStack() as stack:
        beside = _opened_beside(stack, source, max_pixels)
        film = stack.enter_context(_film(part, source, first, drawing, fps, beside))
        sound = Sound(beside, film.container, decoder.media_clock.max_gap_s) if beside is not None else None
        for frame in chain((first,), _until_failure(frames, done)):
            shown_at = start + Fraction(frame.media_time_s)
            if sound is not None:
                sound.until(shown_at)
            image, canvas = film.blank()
            faces = drawing.paint(canvas, frame)
            film.write(image, shown_at)
            if small is not None:
                small.look(frame.picture, faces)
            done.frames += 1
            done.faces += len(faces)
            done.duration_s = frame.media_time_s + 1 / fps
            show(Progress(done.choice.stream, frame.media_time_s, decoder.info.duration_s, done.frames, done.faces))
        if sound is not None:
            sound.finish()
            done.sound, done.sound_left_out = sound.told, sound.left_out
        film.finish()


def _until_failure(frames: Iterator[Frame], done: Annotated) -> Iterator[Frame]:
    """The frames; a failure of the source ends them and is kept."""
    try:
        yield from frames
    except SourceError as failure:
        done.failure = failure


def _opened_beside(stack: ExitStack, source: Source, max_pixels: int) -> InputContainer | None:
    """The file opened once more, for its sound and for what it says of its colours."""
    if source.kind != "file":
        return None
    address = Address(source.url, source.kind)
    opened = open_container(source, address, max_pixels, ConnectSettings(), SystemClock())
    stack.callback(opened.close)
    return opened.container


def _film(
    part: Path, source: Source, first: Frame, drawing: Drawing, fps: float, beside: InputContainer | None
) -> Film:
    primaries = transfer = _UNKNOWN
    if beside is not None and first.picture.space.model == "yuv":
        context = video_stream(source, beside).codec_context
        primaries, transfer = context.color_primaries, context.color_trc
    return Film(
        part,
        drawing.layout.size_wh,
        output_space(first.picture),
        first.time_base,
        fps,
        primaries=primaries,
        transfer=transfer,
    )
