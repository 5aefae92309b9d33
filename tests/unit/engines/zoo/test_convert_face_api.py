"""The converted net against the same architecture written down a second time, in plain numpy."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.zoo.convert import face_api
from tests.unit.engines.zoo.networks import answers, face_api_files, face_api_weights

Floats = NDArray[np.float64]


def _conv(x: Floats, kernel: Floats, stride: int) -> Floats:
    """`x` (C,H,W), `kernel` (3,3,C,O), TensorFlow's "same" padding."""
    _, height, width = x.shape
    before = 0 if stride == 2 else 1
    padded = np.pad(x, ((0, 0), (before, 1), (before, 1)))
    out = np.zeros((kernel.shape[3], -(-height // stride), -(-width // stride)))
    for i in range(3):
        for j in range(3):
            seen = padded[:, i : i + height : stride, j : j + width : stride]
            out += np.einsum("chw,co->ohw", seen, kernel[i, j])
    return out


def _separable(x: Floats, weights: dict[str, NDArray[np.float32]], name: str, stride: int) -> Floats:
    depthwise = weights[f"{name}/depthwise_filter"][..., 0].astype(np.float64)
    n = depthwise.shape[2]
    kernel = np.zeros((3, 3, n, n))
    kernel[:, :, range(n), range(n)] = depthwise
    mixed = np.einsum("chw,co->ohw", _conv(x, kernel, stride), weights[f"{name}/pointwise_filter"][0, 0])
    return np.asarray(mixed + weights[f"{name}/bias"][:, None, None])


def _expected(image: Floats, weights: dict[str, NDArray[np.float32]]) -> tuple[Floats, Floats]:
    x = image
    for block in range(4):
        name = f"dense{block}"
        if block == 0:
            first = (
                _conv(x, weights[f"{name}/conv0/filters"].astype(np.float64), 2)
                + weights[f"{name}/conv0/bias"][:, None, None]
            )
        else:
            first = _separable(x, weights, f"{name}/conv0", 2)
        out1 = np.maximum(first, 0)
        out2 = _separable(out1, weights, f"{name}/conv1", 1)
        out3 = _separable(np.maximum(out1 + out2, 0), weights, f"{name}/conv2", 1)
        out4 = _separable(np.maximum(out1 + out2 + out3, 0), weights, f"{name}/conv3", 1)
        x = np.maximum(out1 + out2 + out3 + out4, 0)
    features = x.mean((1, 2))
    return features, features @ weights["fc/weights"] + weights["fc/bias"]


def test_the_converted_net_answers_what_the_architecture_says() -> None:
    files, meant = face_api_files(face_api_weights(seed=1))
    image = np.random.default_rng(2).uniform(-0.5, 0.5, (3, 112, 112)).astype(np.float32)
    features, logits = _expected(image.astype(np.float64), meant)
    got = answers(face_api.convert(files), image[None])
    assert np.abs(got["features"][0] - features).max() < 1e-4 * np.abs(features).max()
    assert np.abs(got["logits"][0] - logits).max() < 1e-4 * np.abs(logits).max()


def test_the_same_files_give_the_same_bytes() -> None:
    files, _ = face_api_files(face_api_weights(seed=1))
    assert hashlib.sha256(face_api.convert(files)).digest() == hashlib.sha256(face_api.convert(files)).digest()


@pytest.mark.parametrize("change", [b"", b"\0"])
def test_a_shard_of_the_wrong_length_is_refused(change: bytes) -> None:
    files, _ = face_api_files(face_api_weights(seed=1))
    shard = files[face_api.SHARD]
    with pytest.raises(ValueError, match=face_api.SHARD):
        face_api.convert(files | {face_api.SHARD: shard + change if change else shard[:-1]})
