"""Formats that follow a video, read back by other readers than our own."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pympi
import pytest
import webvtt

from engines.data.annotation_files import read_expressions, read_valence_arousal
from streamer.errors import StreamerError, UsageError
from streamer.export import FORMATS, Exported, Format, export_videos
from streamer.export.formats import VideoFormat, VideoName
from streamer.export.labels import Pace, Stretches, face_name
from streamer.export.videos import Video
from streamer.messages import Observation
from streamer.types import EXPRESSIONS
from tests import abaw
from tests.eaf import checked_tiers
from tests.synthetic_run import FPS, make_run
from tests.unit.export.seen import seen, video

ODD = "cam --> 1/<b>&\n名前"
BY_VIDEO: list[VideoName] = [one.name for one in FORMATS.values() if isinstance(one, VideoFormat)]
ABAW = [name for name in BY_VIDEO if name.startswith("abaw")]


def written(
    format: Format, out: Path, observations: Iterable[Observation], videos: Sequence[Video], hold_s: float | None = None
) -> Exported:
    return export_videos(observations, format, out, partial(iter, videos), hold_s=hold_s)


def made() -> tuple[list[Observation], list[Video]]:
    run = make_run(("a", "b"), n_frames=250)
    return run.observations, [Video(source.stream, run.run.run, run.run, source) for source in run.run.sources]


def of_stream(observations: Iterable[Observation], stream: str) -> list[Observation]:
    return sorted((o for o in observations if o.stream == stream), key=lambda o: o.media_time_s)


# -- WebVTT -----------------------------------------------------------------------------------------------------------


def cues(path: Path) -> list[tuple[float, float, str, str]]:
    """Start, end, who and what, as a parser has them; it must have read them all."""
    found = [
        (c.start_in_seconds + _ms(c.start), c.end_in_seconds + _ms(c.end), c.voice, c.text) for c in webvtt.read(path)
    ]
    assert path.read_text(encoding="utf-8").count(" --> ") == len(found)
    assert [start for start, *_ in found] == sorted(start for start, *_ in found), "cues come in the order they begin"
    return found


def _ms(clock: str) -> float:
    """The parser's seconds are whole ones."""
    return int(clock.rpartition(".")[2]) / 1000


def test_captions_are_the_stretches_of_every_face(tmp_path: Path) -> None:
    observations, videos = made()
    done = written("webvtt", tmp_path / "out", observations, videos, hold_s=0.0)
    n = 0
    for stream in ("a", "b"):
        own = of_stream(observations, stream)
        expected = sorted(
            (round(s.start_s, 3), round(s.end_s, 3), face_name(s.track), s.label)
            for s in Stretches(Pace(1 / FPS)).of(own)
        )
        assert sorted(cues(tmp_path / "out" / f"{stream}.vtt")) == expected
        n += len(expected)
    assert (done.rows, done.unit, len(done.files)) == (n, "cue", 2)
    assert n > 10
    shown = cues(tmp_path / "out" / "a.vtt")
    for o in of_stream(observations, "a"):
        mine = [text for start, end, who, text in shown if who == face_name(o.track) and start <= o.media_time_s < end]
        assert mine == [o.label]


def test_captions_hold_long_enough_to_be_read(tmp_path: Path) -> None:
    observations, videos = made()
    written("webvtt", tmp_path / "all", observations, videos, hold_s=0.0)
    written("webvtt", tmp_path / "held", observations, videos)
    assert min(end - start for start, end, *_ in cues(tmp_path / "all" / "b.vtt")) < 0.5
    assert min(end - start for start, end, *_ in cues(tmp_path / "held" / "b.vtt")) >= 0.5
    flicker = [seen(k, "Sad" if 30 <= k < 35 else "Happy") for k in range(60)]
    written("webvtt", tmp_path / "one.vtt", flicker, [video(60)])
    assert cues(tmp_path / "one.vtt") == [(0.0, 2.4, "Face 1", "Happy")]


def test_metadata_are_the_records_own_numbers(tmp_path: Path) -> None:
    observations, videos = made()
    written("webvtt-metadata", tmp_path, observations, videos)
    for stream in ("a", "b"):
        own = of_stream(observations, stream)
        captions = list(webvtt.read(tmp_path / f"{stream}.vtt"))
        told = [json.loads(one.text) for one in captions]
        assert [frame["frame"] for frame in told] == sorted({o.frame for o in own if o.frame is not None})
        faces = [face | {"at": frame["media_time_s"]} for frame in told for face in frame["faces"]]
        assert [(f["at"], f["track"]["number"]) for f in faces] == [(o.media_time_s, o.track.number) for o in own]
        for face, o in zip(faces, own, strict=True):
            tree = msgspec.to_builtins(o, builtin_types=(tuple,))
            assert face == {name: json.loads(json.dumps(tree[name])) for name in face if name != "at"} | {
                "at": face["at"]
            }
        for one, frame in zip(captions, told, strict=True):
            assert one.start_in_seconds + _ms(one.start) == pytest.approx(frame["media_time_s"], abs=0.0005)


@pytest.mark.parametrize("format", ["webvtt", "webvtt-metadata"])
def test_names_cannot_end_a_cue_or_a_note(format: Format, tmp_path: Path) -> None:
    there = [msgspec.structs.replace(seen(k, stream=ODD, run="-->\n\nx"), label="a --> <i>b") for k in range(3)]
    done = written(format, tmp_path / "odd.vtt", there, [])
    found = list(webvtt.read(tmp_path / "odd.vtt"))
    assert len(found) == done.rows
    text = (tmp_path / "odd.vtt").read_text(encoding="utf-8")
    assert text.count("-->") == done.rows
    if format == "webvtt":
        assert "<v Face 1>a --&gt; &lt;i&gt;b</v>" in text
    else:
        assert json.loads(found[0].text)["faces"][0]["label"] == "a --> <i>b"


def test_long_films_have_hours(tmp_path: Path) -> None:
    written("webvtt", tmp_path / "long.vtt", [seen(1, time_s=100 * 3600 + 61.5)], [])
    assert "100:01:01.500 --> 100:01:01.540" in (tmp_path / "long.vtt").read_text()


# -- ELAN -------------------------------------------------------------------------------------------------------------


def test_elan_has_a_tier_a_face_with_the_labels_of_its_observations(tmp_path: Path) -> None:
    observations, videos = made()
    done = written("elan", tmp_path, observations, videos)
    n = 0
    for stream in ("a", "b"):
        own, path = of_stream(observations, stream), tmp_path / f"{stream}.eaf"
        tiers = checked_tiers(path)
        assert list(tiers) == sorted({face_name(o.track) for o in own})
        for o in own:
            at_ms = o.media_time_s * 1000 + 0.5
            around = [value for start, end, value in tiers[face_name(o.track)] if start <= at_ms < end]
            assert around == ([] if o.label is None else [o.label])
        theirs = pympi.Elan.Eaf(str(path))
        for name, expected in tiers.items():
            assert sorted(theirs.get_annotation_data_for_tier(name)) == expected
        assert [medium["MEDIA_URL"] for medium in theirs.media_descriptors] == [f"file:///clips/{stream}"]
        assert theirs.get_controlled_vocabulary_names() is not None
        n += sum(map(len, tiers.values()))
    assert (done.rows, done.unit) == (n, "annotation")


def test_elan_of_odd_names_and_of_nothing(tmp_path: Path) -> None:
    there = [seen(k, stream="<a>&\x01\ud7ff\ufffe", run='"', track=2, epoch=12) for k in range(3)]
    written("elan", tmp_path / "odd.eaf", there, [])
    assert checked_tiers(tmp_path / "odd.eaf") == {"Face 12/2": [(0, 120, "Happy")]}
    assert written("elan", tmp_path / "none.eaf", [], [video(9)]).rows == 0
    assert checked_tiers(tmp_path / "none.eaf") == {}


def test_annotations_within_a_millisecond_neither_overlap_nor_vanish(tmp_path: Path) -> None:
    there = [seen(k, EXPRESSIONS[k % 3], time_s=k * 0.0002) for k in range(12)]
    assert written("elan", tmp_path / "fast.eaf", there, []).rows == 12
    [tier] = checked_tiers(tmp_path / "fast.eaf").values()
    assert [value for _, _, value in tier] == [o.label for o in there]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("films/my film.mov", "./films/my%20film.mov"),
        ("/films/é.mp4", "file:///films/%C3%A9.mp4"),
        ("rtsp://camera/1", None),
        ("", None),
    ],
)
def test_elan_knows_the_film_where_it_is_a_file(source: str, url: str | None, tmp_path: Path) -> None:
    written("elan", tmp_path / "f.eaf", [seen(0)], [video(1, source=source)])
    checked_tiers(tmp_path / "f.eaf")
    media = pympi.Elan.Eaf(str(tmp_path / "f.eaf")).media_descriptors
    assert [one["MEDIA_URL"] for one in media] == ([] if url is None else [url])


# -- ABAW -------------------------------------------------------------------------------------------------------------


def test_every_frame_has_a_line_in_both_layouts(tmp_path: Path) -> None:
    observations, videos = made()
    for name in ABAW:
        done = written(name, tmp_path / name, observations, videos)
        assert (done.rows, done.unit) == (500, "line")
    together = abaw.all_expressions(tmp_path / "abaw-expression-2022" / "predictions.txt", 500)
    rated = abaw.all_ratings(tmp_path / "abaw-va-2022" / "predictions.txt", 500)
    for stream in ("a", "b"):
        classes, ratings = tmp_path / "abaw-expression" / f"{stream}.txt", tmp_path / "abaw-va" / f"{stream}.txt"
        assert together[stream] == abaw.expressions(classes, 250)
        assert rated[stream] == abaw.ratings(ratings, 250)
        by_frame: dict[int | None, Observation] = {}
        for o in of_stream(observations, stream):
            by_frame.setdefault(o.frame, o)  # the faces of a frame are of one size: the first counts
        for frame, o in by_frame.items():
            assert frame is not None
            if o.label is not None:
                assert EXPRESSIONS[together[stream][frame]] == o.label
                assert rated[stream][frame] == (o.valence, o.arousal)
        theirs, wrong = read_expressions(classes)
        assert wrong == ""
        assert theirs is not None
        assert theirs.tolist() == together[stream]
        values, wrong = read_valence_arousal(ratings)
        assert wrong == ""
        assert values is not None
        assert [tuple(pair) for pair in values.tolist()] == rated[stream]


def test_one_file_for_all_takes_a_video_once(tmp_path: Path) -> None:
    twice = [seen(0, run="one"), seen(0, run="two")]
    videos = [video(1, run="one"), video(1, run="two")]
    with pytest.raises(UsageError, match=r"film is there in several runs.*--run"):
        written("abaw-va-2022", tmp_path, twice, videos)
    assert list(tmp_path.iterdir()) == []
    assert len(written("abaw-va", tmp_path, twice, videos).files) == 2


@pytest.mark.parametrize("format", ABAW)
def test_frames_that_nobody_counted_are_an_error(format: Format, tmp_path: Path) -> None:
    with pytest.raises(StreamerError, match="no run record tells how many frames"):
        written(format, tmp_path, [seen(0)], [])
    assert list(tmp_path.iterdir()) == []


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", BY_VIDEO)
def test_one_file_is_for_one_video(format: Format, tmp_path: Path) -> None:
    observations, videos = made()
    name = "one" + FORMATS[format].extension
    if "2022" not in format:
        with pytest.raises(UsageError, match=r"there are 2 videos, and .* has a file for each"):
            written(format, tmp_path / name, observations, videos)
        assert list(tmp_path.iterdir()) == []
        videos, observations = videos[:1], of_stream(observations, "a")
    done = written(format, tmp_path / name, observations, videos)
    assert done.files == (str(tmp_path / name),)
    again = written(format, tmp_path / name, reversed(observations), videos)
    assert again.rows == done.rows, "whatever order they are read in"


@pytest.mark.parametrize("format", BY_VIDEO)
def test_a_video_without_faces_has_a_file_too(format: Format, tmp_path: Path) -> None:
    done = written(format, tmp_path, [], [video(30)])
    assert done.rows == (30 if format.startswith("abaw") else 0)
    [path] = tmp_path.iterdir()
    assert path.stat().st_size > 0


@pytest.mark.parametrize("format", BY_VIDEO)
def test_the_same_records_give_the_same_bytes_on_standard_output_too(
    format: Format, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    there = [seen(k, EXPRESSIONS[k // 10 % 7]) for k in range(60)]
    path = tmp_path / ("x" + FORMATS[format].extension)
    written(format, path, [*there, *there[:5]], [video(70)])
    assert export_videos(there, format, "-", lambda: [video(70)]).files == ()
    assert capfdbinary.readouterr().out == path.read_bytes()
    assert written(format, path, [*there, *there[:5]], [video(70)]).skipped == {"duplicate": 5}


@pytest.mark.parametrize("format", BY_VIDEO)
def test_a_failure_half_way_leaves_what_was_there(format: Format, tmp_path: Path) -> None:
    def breaking() -> Any:
        yield seen(0)
        raise RuntimeError("the bus went away")

    path = tmp_path / ("x" + FORMATS[format].extension)
    path.write_text("old")
    with pytest.raises(RuntimeError):
        written(format, path, breaking(), [video(9)])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", BY_VIDEO)
def test_memory_does_not_grow_with_the_number_of_records(format: Format, tmp_path: Path) -> None:
    """Two faces, one that keeps its label all along and one whose label changes all the time."""

    def records(n: int) -> Any:
        for k in range(n // 2):
            yield seen(k, "Happy", track=1)
            yield seen(k, EXPRESSIONS[k % 7], track=2)

    peak: Callable[[int], int] = partial(_peak_bytes, lambda n: written(format, tmp_path, records(n), [video(n)], 0.0))
    peak(10)
    small, large = peak(4_000), peak(12_000)
    assert large < 1.3 * small, (small, large)


def _peak_bytes(work: Callable[[int], object], n: int) -> int:
    tracemalloc.start()
    work(n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
