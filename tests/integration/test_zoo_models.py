"""The real networks in the real engine."""

import os
from pathlib import Path

import numpy as np
import pytest

from engines import zoo
from engines.calibrate import calibrate, mean_confidence
from engines.errors import EngineError, ModelUnavailable
from engines.faces import SEARCH_SIZE_WH, find_faces, pictures_of
from engines.runtime import open_runner, prove_batch_invariance
from engines.runtime.compiled import configuration, core
from engines.runtime.invariance import random_pictures
from engines.zoo.catalogue import FACE_API, FER
from engines.zoo.fetch import fetch
from tests.integration.zoo_models import default_model

CLIPS = Path(__file__).parents[2] / "../shared/clips"
SHARED_MODELS = CLIPS.parent / "models"

pytestmark = pytest.mark.models


@pytest.mark.parametrize(
    ("name", "size_wh"),
    [("centerface", (320, 192)), ("centerface", (96, 96)), ("face-api", None), ("fer", None), ("yunet", (160, 96))],
)
def test_a_row_answers_alone_as_in_any_batch(name: str, size_wh: tuple[int, int] | None, tmp_path: Path) -> None:
    model = default_model(name)
    runner = open_runner(model, input_size_wh=size_wh, cache=tmp_path)
    crop = model.spec.crop
    width, height = size_wh or ((crop.width, crop.height) if crop else (0, 0))
    report = prove_batch_invariance(
        runner, lambda n: {"image": random_pictures(n, height, width, 1)}, (1, 2, 3, 4, 8, 11)
    )
    assert report.holds, report
    assert set(report.worst_difference) == {output.name for output in model.spec.outputs}
    restored = open_runner(model, input_size_wh=size_wh, cache=tmp_path)
    pictures = random_pictures(3, height, width, 2)
    first = {key: values.copy() for key, values in runner.infer({"image": pictures}).items()}
    assert all(np.array_equal(values, first[key]) for key, values in restored.infer({"image": pictures}).items())


def test_fer_agrees_with_the_published_file_in_the_engine(tmp_path: Path) -> None:
    try:
        (published,) = fetch(FER, lambda _: None).values()
    except ModelUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    path = tmp_path / FER.artefacts[0].name
    path.write_bytes(published)
    runner = open_runner(zoo.pull("fer", cache=tmp_path, folder=tmp_path), precision="fp32", cache=tmp_path)
    crops = random_pictures(4, 64, 64)
    logits = runner.infer({"image": crops})["logits"].astype(np.float64)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    original = core().compile_model(core().read_model(path), "CPU", configuration("fp32"))
    grey = (crops @ np.array([0.299, 0.587, 0.114])) / 127.5 - 1
    for picture, ours in zip(grey.astype(np.float32), probs, strict=True):
        assert np.abs(original([picture[None, :, :, None]])[0][0] - ours).max() < 1e-5


def test_a_precision_this_cpu_lacks_is_refused(tmp_path: Path) -> None:
    model = default_model("face-api")
    runner = open_runner(model, cache=tmp_path)
    if runner.precision == "bf16":
        pytest.skip("this CPU has bf16")
    assert runner.precision == "fp32"
    with pytest.raises(EngineError, match="has no bf16"):
        open_runner(model, precision="bf16", cache=tmp_path)


@pytest.mark.clips
def test_faces_are_found_and_the_fitted_temperature_moderates(tmp_path: Path) -> None:
    clip = CLIPS / "pyfeat_single_face.mp4"
    if not clip.is_file():
        pytest.skip("the shared clips are not here")
    default_model("centerface")
    default_model("face-api")
    result = calibrate("face-api", [clip], 0.67)
    assert result.n_faces == 72
    assert result.before > 0.97  # over-confident as it comes
    assert result.temperature > 2
    assert FACE_API.spec.calibration.temperature > 2
    detector = open_runner(default_model("centerface"), input_size_wh=SEARCH_SIZE_WH, cache=tmp_path)
    first = next(pictures_of(clip))
    (face,) = find_faces(detector, first)
    left_eye, right_eye, nose, left_mouth, right_mouth = face.points_xy
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert mean_confidence(np.zeros((1, 7)), 1.0) == pytest.approx(1 / 7)
