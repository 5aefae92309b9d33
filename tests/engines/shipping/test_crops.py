from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.errors import BadData, WrongUse
from engines.shipping.crops import read_crops
from engines.shipping.export import box_crop
from tests.engines import toys


def test_pictures_of_a_folder_are_rgb_in_the_order_of_their_names(tmp_path: Path) -> None:
    made, _ = toys.pictures(5, 1)
    (tmp_path / "deep").mkdir()
    for i, name in enumerate(("b.png", "a.png", "deep/c.png", "d.bmp", "e.txt")):
        cv2.imwrite(str(tmp_path / name), made[i][..., ::-1]) if name != "e.txt" else (tmp_path / name).write_text("no")
    assert np.array_equal(read_crops(tmp_path, box_crop(32)), made[[1, 0, 3, 2]])
    assert np.array_equal(read_crops(tmp_path / "a.png", box_crop(32)), made[[1]])


def test_other_sizes_are_scaled(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), (10, 20, 30), np.uint8))
    assert np.array_equal(read_crops(tmp_path, box_crop(32)), np.full((1, 32, 32, 3), (30, 20, 10), np.uint8))


def test_an_array_is_read_and_spread_over(tmp_path: Path) -> None:
    made, _ = toys.pictures(11, 2)
    np.save(tmp_path / "crops.npy", made)
    assert np.array_equal(read_crops(tmp_path / "crops.npy", box_crop(32)), made)
    assert np.array_equal(read_crops(tmp_path / "crops.npy", box_crop(32), limit=3), made[[0, 5, 10]])


@pytest.mark.parametrize(
    "array", [np.zeros((2, 32, 32, 3), np.float32), np.zeros((2, 32, 32), np.uint8), np.zeros((0, 32, 32, 3), np.uint8)]
)
def test_an_array_of_something_else_is_bad_data(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "crops.npy", array)
    with pytest.raises(BadData, match="uint8"):
        read_crops(tmp_path / "crops.npy", box_crop(32))


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="does not exist"):
        read_crops(tmp_path / "none", box_crop(32))
    with pytest.raises(WrongUse, match="no pictures or clips"):
        read_crops(tmp_path, box_crop(32))
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadData, match=r"a\.png"):
        read_crops(tmp_path, box_crop(32))
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(BadData, match="as an array"):
        read_crops(tmp_path / "a.npy", box_crop(32))
