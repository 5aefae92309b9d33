from pathlib import Path

import numpy as np
import onnx
import pytest

from engines.runtime.compiled import configuration, core
from engines.zoo.convert import centerface, emotiefflib, fer, tflite, yunet
from tests.unit.engines.zoo.networks import answers, emotiefflib_network

SHARED_MODELS = Path(__file__).parents[4] / "../shared/models"


@pytest.mark.parametrize("opset", [9, 11, 17])
def test_the_row_of_a_multi_task_net_gets_names(opset: int) -> None:
    published = emotiefflib_network(opset)
    image = np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)
    row = answers(published, image)["output"]
    got = answers(emotiefflib.convert({emotiefflib.FILE: published}), image)
    assert np.array_equal(got["logits"], row[:, :8])
    assert np.array_equal(got["valence"], row[:, 8])
    assert np.array_equal(got["arousal"], row[:, 9])
    assert got["features"].shape == (2, 12)


def test_a_net_without_valence_and_arousal_is_refused() -> None:
    with pytest.raises(ValueError, match="does not answer 8 expressions"):
        emotiefflib.convert({emotiefflib.FILE: emotiefflib_network(11, n_out=8)})


@pytest.mark.parametrize("converter", [emotiefflib, centerface, yunet])
def test_what_is_no_onnx_is_refused(converter: object) -> None:
    module = emotiefflib if converter is emotiefflib else centerface if converter is centerface else yunet
    with pytest.raises(ValueError, match="not an ONNX model"):
        module.convert({module.FILE: b"\xff\xfe nothing"})


def test_another_network_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="another network"):
        centerface.convert({centerface.FILE: emotiefflib_network(11)})


@pytest.mark.parametrize("content", [b"", b"1234TFL3", b"1234TFL3" + bytes(64), b"\x10\0\0\0TFL3" + b"\xff" * 64])
def test_damaged_tflite_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="TensorFlow Lite"):
        tflite.read(content)
    with pytest.raises(ValueError, match="TensorFlow Lite"):
        fer.convert({fer.FILE: content})


def test_yunet_at_any_size_is_yunet_at_its_own() -> None:
    path = SHARED_MODELS / yunet.FILE
    if not path.is_file():
        pytest.skip("the shared models are not here")
    published = path.read_bytes()
    converted = yunet.convert({yunet.FILE: published})
    image = np.random.default_rng(1).uniform(0, 255, (2, 3, 640, 640)).astype(np.float32)
    alone = answers(published, image[1:])
    both = answers(converted, image)
    for name, values in alone.items():
        if name in both:
            assert np.abs(both[name][1] - values[0]).max() < 1e-4, name
    assert len(set(alone) & set(both)) >= 12
    small = core().read_model(converted)
    small.reshape([3, 3, 96, 160])
    compiled = core().compile_model(small, "CPU", configuration("fp32"))
    shapes = {name: tuple(port.shape) for port in compiled.outputs for name in port.names}
    assert shapes["bbox_8"] == (3, 12 * 20, 4)
    assert shapes["kps_32"] == (3, 3 * 5, 10)
    assert onnx.load_model_from_string(converted).producer_name == ""
