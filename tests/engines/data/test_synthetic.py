"""The drawn set: the same every time, people apart, labels that the pictures show, noise that time sees through."""

from __future__ import annotations

import pickle

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames
from engines.data.synthetic import (
    SPLITS,
    DrawnPictures,
    SyntheticConfig,
    contact_sheet,
    drawn_in_memory,
    synthetic_frames,
)
from engines.data.synthetic.expression import COORDINATES
from engines.data.synthetic.frames import scene
from engines.data.synthetic.identity import draw_identity
from engines.spec import N_PROBS
from streamer.coordinates import COORDINATES as OF_THE_STREAMER

SMALL = SyntheticConfig(
    n_stills_identities=3,
    stills_per_identity=10,
    n_train_identities=3,
    n_validation_identities=2,
    n_test_identities=2,
    videos_per_identity=2,
    frames_per_video=60,
)


def test_the_same_setting_gives_the_same_pictures_in_any_order_and_process() -> None:
    first, again = synthetic_frames(SMALL, "train"), synthetic_frames(SMALL, "train")
    elsewhere = pickle.loads(pickle.dumps(again.pictures))
    for index in (100, 3, 359, 3):
        assert (first.pictures.read(index, 32) == elsewhere.read(index, 32)).all()
    assert (first.expression == again.expression).all()
    assert (first.valence == again.valence).all()


def test_another_seed_gives_other_people_and_other_lives() -> None:
    other = synthetic_frames(msgspec.structs.replace(SMALL, seed=1), "train")
    here = synthetic_frames(SMALL, "train")
    assert (here.pictures.read(0, 32) != other.pictures.read(0, 32)).mean() > 0.5
    assert (here.expression != other.expression).any()


def test_no_face_is_in_two_splits() -> None:
    widths = [
        scene(SMALL, split, source)[0].width
        for split in SPLITS
        for source in range(
            0, SMALL.n_identities(split) * (1 if split == "stills" else 2), 1 if split == "stills" else 2
        )
    ]
    assert len(set(widths)) == len(widths) == 10


def test_videos_of_one_identity_show_one_face_and_differ() -> None:
    assert scene(SMALL, "test", 0)[0] is scene(SMALL, "test", 1)[0]
    assert (scene(SMALL, "test", 0)[1].expression != scene(SMALL, "test", 1)[1].expression).any()


def test_the_columns_say_what_was_drawn_video_by_video() -> None:
    frames = synthetic_frames(SMALL, "test")
    assert frames.videos == ("test-000-0", "test-000-1", "test-001-0", "test-001-1")
    assert (frames.video == np.repeat(np.arange(4), 60)).all()
    assert (frames.frame == np.tile(np.arange(60), 4)).all()
    assert frames.annotated.all()
    assert np.abs(np.stack([frames.valence, frames.arousal])).max() <= 1
    assert frames.pictures.read(5, 40).shape == (40, 40, 3)
    assert frames.pictures.read(5, 40).dtype == np.uint8


def test_stills_are_videos_of_one_frame() -> None:
    frames = synthetic_frames(SMALL, "stills")
    assert len(frames) == len(frames.videos) == 30
    assert (frames.video == np.arange(30)).all()
    assert not frames.frame.any()


def test_pictures_drawn_once_are_the_pictures_drawn_when_read() -> None:
    frames = synthetic_frames(SMALL, "validation")
    kept = drawn_in_memory(frames, 32)
    assert len(kept) == len(frames)
    assert all((kept.pictures.read(i, 32) == frames.pictures.read(i, 32)).all() for i in (0, 77, 239))
    assert kept.pictures.read(0, 16).shape == (16, 16, 3)


def test_all_seven_expressions_come_about_equally_often_and_are_held() -> None:
    frames = synthetic_frames(msgspec.structs.replace(SMALL, frames_per_video=600), "train")
    shares = np.bincount(frames.expression, minlength=N_PROBS) / len(frames)
    assert shares.min() > 0.10
    assert shares.max() < 0.19
    changed = np.flatnonzero((np.diff(frames.expression) != 0) & (np.diff(frames.video) == 0))
    within = np.diff(changed)[np.diff(frames.video[changed]) == 0]
    assert within.min() >= int(SMALL.dwell_s[0] * SMALL.fps) - 1
    assert within.max() <= int(SMALL.dwell_s[1] * SMALL.fps) + 1


def test_valence_and_arousal_are_the_expressions_own_times_its_strength_and_a_smooth_deviation() -> None:
    frames = synthetic_frames(msgspec.structs.replace(SMALL, frames_per_video=600), "train")
    affect = np.stack([frames.valence, frames.arousal], 1)
    for expression in range(1, N_PROBS):
        mean = affect[frames.expression == expression].mean(0)
        strength = mean @ COORDINATES[expression] / (COORDINATES[expression] @ COORDINATES[expression])
        assert 0.4 < strength < 0.9
        assert np.abs(mean - strength * COORDINATES[expression]).max() < 0.12
    steps = np.abs(np.diff(affect, axis=0))[np.diff(frames.video) == 0]
    assert steps.max() < 0.75  # a change from one expression to its opposite takes more than one frame
    assert steps[frames.expression[1:][np.diff(frames.video) == 0] == 0].mean() < 0.05


def test_coordinates_are_those_that_the_streamer_derives_from() -> None:
    assert [tuple(row) for row in COORDINATES] == list(OF_THE_STREAMER.values())


def test_lapses_hide_the_face_without_moving_the_labels() -> None:
    long = msgspec.structs.replace(SMALL, frames_per_video=1200)
    _, noisy = scene(long, "train", 0)
    _, clean = scene(msgspec.structs.replace(long, noise=0.0), "train", 0)
    assert (noisy.expression == clean.expression).all()
    assert (noisy.valence == clean.valence).all()
    assert not clean.blur.any()
    assert not clean.cover[:, 0].any()
    blurred, covered = noisy.blur > 0.3, noisy.cover[:, 0] > 0.3
    assert 0.04 < blurred.mean() < 0.30
    assert 0.04 < covered.mean() < 0.30
    assert np.median(_run_lengths(blurred)) >= 3, "noise hangs together in time"
    assert np.median(_run_lengths(blurred)) < 16, "and is shorter than a block"


def test_shuffling_moves_labels_with_their_pictures() -> None:
    plain, mixed = (
        synthetic_frames(SMALL, "test"),
        synthetic_frames(msgspec.structs.replace(SMALL, shuffled=True), "test"),
    )
    assert isinstance(mixed.pictures, DrawnPictures)
    assert (mixed.video == plain.video).all()
    assert (np.diff(mixed.expression) != 0).mean() > 5 * (np.diff(plain.expression) != 0).mean()
    there = plain.video.astype(np.int64) * SMALL.frames_per_video + mixed.pictures.moment
    assert sorted(there) == list(range(len(plain)))
    assert (mixed.expression == plain.expression[there]).all()
    assert (mixed.valence == plain.valence[there]).all()
    assert all((mixed.pictures.read(i, 24) == plain.pictures.read(int(there[i]), 24)).all() for i in (0, 59, 60, 200))


def test_a_linear_reader_names_clean_faces_of_people_it_never_saw_and_time_helps_it_with_noisy_ones() -> None:
    config = SyntheticConfig(
        n_stills_identities=160,
        stills_per_identity=14,
        n_test_identities=10,
        videos_per_identity=1,
        frames_per_video=150,
        noise=0.0,
    )
    noisy, mixed = msgspec.structs.replace(config, noise=1.0), msgspec.structs.replace(config, noise=1.0, shuffled=True)
    weights = _linear_reader(synthetic_frames(config, "stills"))
    clean = _accuracy(synthetic_frames(config, "test"), weights, 0)
    single, block = (_accuracy(synthetic_frames(noisy, "test"), weights, n) for n in (0, 3))
    aimless = _accuracy(synthetic_frames(mixed, "test"), weights, 3)
    assert clean > 0.40, "seven expressions by chance: 0.14"
    assert single < clean - 0.08
    assert block > single + 0.01
    assert aimless < single - 0.05


def _run_lengths(on: NDArray[np.bool_]) -> NDArray[np.int64]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return (edges[1::2] - edges[::2]).astype(np.int64)


def _seen(frames: AnnotatedFrames) -> NDArray[np.float64]:
    """How strong edges of eight directions are in each of 8 x 8 cells of 48 px pictures, and a constant."""
    grey = np.stack([frames.pictures.read(i, 48).mean(-1, dtype=np.float32) for i in range(len(frames))])
    down, right = np.gradient(grey, axis=(1, 2))
    cells = np.empty((len(grey), 8, 8, 8))
    for k in range(8):
        edges = np.maximum(right * np.float32(np.cos(k * np.pi / 4)) + down * np.float32(np.sin(k * np.pi / 4)), 0)
        cells[..., k] = edges.reshape(len(grey), 8, 6, 8, 6).mean((2, 4))
    rows = cells.reshape(len(grey), -1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6
    return np.hstack([20 * rows, np.ones((len(rows), 1))])


def _linear_reader(frames: AnnotatedFrames) -> NDArray[np.float64]:
    x, y = _seen(frames), np.eye(N_PROBS, dtype=np.float64)[frames.expression]
    weights: NDArray[np.float64] = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y).astype(np.float64)
    return weights


def _accuracy(frames: AnnotatedFrames, weights: NDArray[np.float64], n_around: int) -> float:
    """Of the mean answer over a frame and the `n_around` before and after it."""
    answers = _seen(frames) @ weights
    middles = [i for i in range(3, len(frames) - 3) if frames.video[i - 3] == frames.video[i + 3]]
    right = [answers[i - n_around : i + n_around + 1].mean(0).argmax() == frames.expression[i] for i in middles]
    return float(np.mean(right))


def test_a_page_of_faces_has_a_row_an_identity_and_rows_of_consecutive_frames() -> None:
    sheet = contact_sheet(SMALL, n_identities=2, side_px=32)
    assert sheet.shape == (2 * 32 + 2 * 16, 7 * 32, 3)
    assert sheet.std() > 20


@pytest.mark.parametrize(
    "wrong", [{"noise": 1.5}, {"n_test_identities": 0}, {"fps": 0.0}, {"dwell_s": (2.0, 1.0)}, {"lapse_s": (0.0, 1.0)}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, SyntheticConfig)


def test_identities_differ_in_what_they_show() -> None:
    faces = [draw_identity(np.random.default_rng(i)) for i in range(60)]
    assert {face.hair for face in faces} == {"bald", "short", "fringe", "long", "curly"}
    assert {face.glasses for face in faces} == {"none", "thin", "thick"}
    assert {face.beard for face in faces} == {"none", "moustache", "goatee", "full"}
    assert np.stack([face.strength for face in faces]).std() > 0.1
