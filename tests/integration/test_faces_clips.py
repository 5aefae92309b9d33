"""Real faces through the real detector, tracker, alignment and expression network, on clips whose faces are known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.runtime import open_runner
from engines.zoo import load
from engines.zoo.sample import fetch_sample
from streamer.config import Config
from streamer.faces.align import align
from streamer.faces.boxes import iou_matrix
from streamer.faces.detect import Detector
from streamer.faces.embed import Embedder
from streamer.faces.quality import assess
from streamer.faces.track import Tracker
from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.types import Detections, TrackedFace
from tests.product import CLIPS, LEAVES, NO_FACE, ONE_FACE, TWO_FACES, needs_clips

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
clips = pytest.mark.clips
DEFAULTS = Config()
YUNET_FOLDER = CLIPS.parent / "models"


@dataclass
class Watched:
    """What the faces of a clip came to."""

    n_frames: int = 0
    faces: list[tuple[TrackedFace, ...]] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    ended: list[tuple[float, int]] = field(default_factory=list)
    living: tuple[int, ...] = ()

    @property
    def seen(self) -> dict[int, int]:
        """Frames in which each track was seen."""
        return dict(Counter(face.track for faces in self.faces for face in faces))


def pictures(path: Path) -> Iterator[tuple[float, Picture]]:
    """Media time in seconds and picture of each frame. A picture lives as long as its frame: use it at once."""
    with av.open(str(path)) as container:
        first: float | None = None
        for frame in container.decode(video=0):
            assert frame.time is not None
            first = frame.time if first is None else first
            yield frame.time - first, picture_of(frame)


@pytest.fixture(scope="module")
def detector(models: None) -> Iterator[Detector]:
    model = load("centerface")
    found = Detector("centerface", lambda size_wh: open_runner(model, input_size_wh=size_wh), DEFAULTS.detect)
    yield found
    found.close()


def watch(path: Path, detector: Detector) -> Watched:
    """The clip with the default settings."""
    watched, tracker = Watched(), Tracker(DEFAULTS.track)
    for time_s, picture in pictures(path):
        detector.prepare(picture.width, picture.height)
        update = tracker.update(detector.detect([picture])[0], time_s)
        watched.n_frames += 1
        watched.faces.append(update.faces)
        watched.started += update.started
        watched.ended += [(time_s, number) for number in update.ended]
    watched.living = tracker.finish()
    return watched


@clips
@needs_clips
def test_one_face_is_one_track_on_every_frame(detector: Detector) -> None:
    watched = watch(ONE_FACE, detector)
    assert (watched.n_frames, watched.seen, watched.living, watched.ended) == (72, {1: 72}, (1,), [])


@clips
@needs_clips
def test_two_faces_are_two_tracks_that_never_change_sides(detector: Detector) -> None:
    watched = watch(TWO_FACES, detector)
    assert watched.n_frames == 56
    assert sorted(watched.seen) == [1, 2]
    assert min(watched.seen.values()) >= 54
    sides = {face.track: set[bool]() for faces in watched.faces for face in faces}
    for faces in watched.faces:
        for face in faces:
            sides[face.track].add(float(face.box_xyxy[0]) < 240)
    assert all(len(side) == 1 for side in sides.values())


@clips
@needs_clips
def test_no_face_is_no_detection(detector: Detector) -> None:
    watched = watch(NO_FACE, detector)
    assert watched.n_frames == 95
    assert not watched.seen
    assert not watched.started


@clips
@needs_clips
def test_a_track_ends_after_its_face_has_left(detector: Detector) -> None:
    watched = watch(LEAVES, detector)
    assert watched.seen == {1: 72}
    last_seen = max(i for i, faces in enumerate(watched.faces) if faces)
    assert last_seen == 71
    ((ended_s, number),) = watched.ended
    assert number == 1
    left_s = [time_s for time_s, _ in pictures(LEAVES)][last_seen]
    assert DEFAULTS.track.lost_after_s < ended_s - left_s < DEFAULTS.track.lost_after_s + 0.1
    assert watched.living == ()


@clips
@needs_clips
def test_an_old_film_with_tiny_faces_is_few_tracks_all_of_low_quality(detector: Detector) -> None:
    watched = watch(CLIPS / "moviepy_chaplin.mp4", detector)
    assert 150 <= sum(map(bool, watched.faces)) <= watched.n_frames == 241
    assert len(watched.seen) <= 5
    assert max(watched.seen.values()) >= 120
    verdicts = [assess(face, DEFAULTS.quality) for faces in watched.faces for face in faces]
    assert all(verdict.quality == "low" and "small_face" in verdict.causes for verdict in verdicts)


@clips
@needs_clips
@pytest.mark.parametrize("name", ["female", "male"])
def test_a_head_that_turns_is_one_track(detector: Detector, name: str) -> None:
    watched = watch(CLIPS / f"intel_head-pose-face-detection-{name}.gif", detector)
    assert watched.seen == {1: watched.n_frames}


def test_a_small_talking_face_is_one_track(detector: Detector) -> None:
    """The sample of 176x144 pixels that any fresh machine can get."""
    watched = watch(fetch_sample(), detector)
    assert watched.n_frames == 120
    assert list(watched.seen) == [1]
    assert watched.seen[1] >= 118


@clips
@needs_clips
def test_points_lie_in_the_face_and_in_their_order(detector: Detector) -> None:
    for path in (ONE_FACE, TWO_FACES):
        for faces in watch(path, detector).faces:
            for face in faces:
                x0, y0, x1, y1 = face.box_xyxy.tolist()
                assert ((face.points_xy >= [x0, y0]) & (face.points_xy <= [x1, y1])).all()
                (left, right, _, mouth_left, mouth_right) = face.points_xy.tolist()
                assert left[0] < right[0]
                assert mouth_left[0] < mouth_right[0]
                assert max(left[1], right[1]) < max(mouth_left[1], mouth_right[1])
                assert assess(face, DEFAULTS.quality).quality == "ok"


@clips
@needs_clips
def test_streams_of_other_sizes_in_one_batch_change_nothing(detector: Detector) -> None:
    containers = [av.open(str(path)) for path in (ONE_FACE, TWO_FACES, LEAVES)]
    frames = [next(container.decode(video=0)) for container in containers]
    batch = [picture_of(frame) for frame in frames]
    for picture in batch:
        detector.prepare(picture.width, picture.height)
    together = detector.detect(batch)
    alone = [detector.detect([picture])[0] for picture in batch]
    assert [len(faces) for faces in together] == [1, 2, 1]
    for a, b in zip(together, alone, strict=True):
        assert a.boxes_xyxy.tobytes() == b.boxes_xyxy.tobytes()
        assert a.points_xy.tobytes() == b.points_xy.tobytes()
    for container in containers:
        container.close()


@clips
@needs_clips
def test_swapped_colours_lose_faces(detector: Detector) -> None:
    """The networks' colour order matters and is right: swapped, one of two faces is missed on many frames."""
    found = []
    for _, picture in pictures(TWO_FACES):
        shape = detector.prepare(picture.width, picture.height)
        right, _ = picture.letterbox(*shape, "rgb")
        wrong, _ = picture.letterbox(*shape, "bgr")
        found.append([len(one) for one in detector.search(shape, [right, wrong]) if isinstance(one, Detections)])
    sums = np.array(found).sum(axis=0)
    assert sums[0] == 112
    assert sums[1] < 100


@clips
@needs_clips
def test_crops_give_the_same_embedding_alone_and_in_company(detector: Detector) -> None:
    model = load("face-api")
    assert model.spec.crop is not None
    embedder = Embedder(open_runner(model), model.spec)
    crops = []
    for path in (ONE_FACE, TWO_FACES):
        for _, picture in itertools.islice(pictures(path), 5):
            detector.prepare(picture.width, picture.height)
            faces = Tracker(DEFAULTS.track).update(detector.detect([picture])[0], 0.0).faces
            crops += [align(picture, face, model.spec.crop) for face in faces]
    batch = np.stack(crops)
    together, alone = embedder.embed(batch), [embedder.embed(one[None]) for one in batch]
    assert together.dropped == {}
    for a, (b,) in zip(together.embeddings, (one.embeddings for one in alone), strict=True):
        assert a is not None
        assert b is not None
        assert a.features.tobytes() == b.features.tobytes()
        assert a.probs.tobytes() == b.probs.tobytes()
    embedder.close()


@clips
@needs_clips
@pytest.mark.skipif(not YUNET_FOLDER.is_dir(), reason="the copy of YuNet for tests is not on this machine")
@pytest.mark.parametrize("path", [ONE_FACE, TWO_FACES], ids=["one", "two"])
def test_yunet_is_read_as_opencv_reads_it(path: Path, tmp_path: Path) -> None:
    """Our decoding of its maps against OpenCV's own, on the same image."""
    model = load("yunet", folder=YUNET_FOLDER, cache=tmp_path)
    ours = Detector(
        "yunet",
        lambda size_wh: open_runner(model, precision="fp32", input_size_wh=size_wh, cache=tmp_path),
        DEFAULTS.detect,
    )
    theirs = cv2.FaceDetectorYN.create(
        str(YUNET_FOLDER / "face_detection_yunet_2023mar.onnx"), "", (320, 192), DEFAULTS.detect.score_threshold, 0.3
    )
    for _, picture in itertools.islice(pictures(path), 10):
        shape = ours.prepare(picture.width, picture.height)
        image, _ = picture.letterbox(*shape, "bgr")
        theirs.setInputSize(shape)
        _, rows = theirs.detect(image)
        (found,) = ours.search(shape, [image])
        assert isinstance(found, Detections)
        assert len(found) == len(rows)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        best = iou_matrix(found.boxes_xyxy, boxes)
        assert (best.max(axis=1) > 0.95).all()
        for i, j in enumerate(best.argmax(axis=1)):
            np.testing.assert_allclose(found.points_xy[i].reshape(-1), rows[j, 4:14], atol=0.5)
            assert found.scores[i] == pytest.approx(rows[j, 14], abs=0.01)
    ours.close()
