from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.data.pictures import ChosenPictures, FilePictures, JoinedPictures, VideoCrops, decode, resize, unreadable
from engines.errors import BadData
from tests.engines.data.layouts import truncate
from tests.engines.data.made import Numbered, drawn, write_picture


def test_pictures_come_as_rgb(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 3)
    assert (decode(tmp_path / "a.png") == drawn(3)).all()
    assert (FilePictures(tmp_path, ("a.png",)).read(0, 24) == drawn(3)).all()


def test_shrinking_takes_areas_and_growing_is_linear() -> None:
    board = np.zeros((32, 32, 3), np.uint8)
    board[::4, ::4] = 160
    assert (resize(board, 8) == 10).all(), "every pixel is the mean of sixteen"
    step = np.zeros((1, 2, 3), np.uint8)
    step[:, 1] = 100
    slope = [0, 0, 12.5, 37.5, 62.5, 87.5, 100, 100]
    np.testing.assert_allclose(resize(step, 8)[0, :, 0], slope, atol=0.5)
    assert resize(np.zeros((10, 30, 3), np.uint8), 12).shape == (12, 12, 3)


def test_orientation_in_exif_is_ignored_as_boxes_are_in_stored_pixels(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", 3)
    data = (tmp_path / "a.jpg").read_bytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned
    (tmp_path / "b.jpg").write_bytes(data[:2] + segment + data[2:])
    oriented = cv2.imread(str(tmp_path / "b.jpg"))
    assert oriented is not None
    assert (oriented[..., ::-1] != decode(tmp_path / "a.jpg")).any(), "the tag is a real one"
    assert (decode(tmp_path / "b.jpg") == decode(tmp_path / "a.jpg")).all()


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated jpg", "truncated png", "header only"])
def test_what_cannot_be_decoded_is_bad_data_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / ("a.png" if "png" in damage else "a.jpg")
    write_picture(path, 3, 64)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("<html>not found</html>")
    elif damage == "header only":
        path.write_bytes(path.read_bytes()[:20])
    else:
        truncate(path)
    with pytest.raises(BadData, match=path.name):
        decode(path)


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_found_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", 3, 64)
    write_picture(tmp_path / "small.jpg", 3, 8)
    data, small = (tmp_path / "a.jpg").read_bytes(), (tmp_path / "small.jpg").read_bytes()
    thumbnail = b"\xff\xe1" + (len(small) + 8).to_bytes(2, "big") + b"Exif\0\0" + small
    (tmp_path / "a.jpg").write_bytes(data[:2] + thumbnail + data[2:])
    decode(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data[:2] + thumbnail + data[2:-40])
    with pytest.raises(BadData, match="the JPEG has no end"):
        decode(tmp_path / "a.jpg")


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", 3)
    before = decode(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"\0" * 40)
    assert (decode(tmp_path / "a.jpg") == before).all()


def test_grey_pictures_have_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((6, 6), 9, np.uint8))
    assert (decode(tmp_path / "a.png") == np.full((6, 6, 3), 9)).all()


def test_boxes_are_cut_to_the_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 3)
    boxes = np.array([[4, 6, 12, 14], [-5, -5, 8, 8], [30, 30, 40, 40]], np.int32)
    pictures = FilePictures(tmp_path, ("a.png",) * 3, boxes)
    assert (pictures.read(0, 8) == drawn(3)[6:14, 4:12]).all()
    assert (pictures.read(1, 8) == drawn(3)[:8, :8]).all()
    assert (pictures.read(2, 24) == drawn(3)).all()


def test_every_kind_of_pictures_survives_pickling(tmp_path: Path) -> None:
    write_picture(tmp_path / "v" / "00007.jpg", 3)
    files = FilePictures(tmp_path, ("v/00007.jpg",))
    crops = VideoCrops(tmp_path, ("v",), np.zeros(1, np.int32), np.array([7], np.int32))
    kinds = (files, crops, ChosenPictures(files, np.array([0])), JoinedPictures((Numbered(0), crops)))
    for one in kinds:
        again = pickle.loads(pickle.dumps(one))
        assert len(again) == 1
        assert (again.read(0, 16) == files.read(0, 16)).all()


def test_joined_pictures_end_where_they_end() -> None:
    joined = JoinedPictures((Numbered(2), Numbered(0), Numbered(3)))
    assert [joined.read(i, 4)[0, 0, 0] for i in range(5)] == [0, 1, 0, 1, 2]
    with pytest.raises(IndexError):
        joined.read(5, 4)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_unreadable_pictures_are_found_by_row(tmp_path: Path, n_threads: int) -> None:
    for i in range(5):
        write_picture(tmp_path / f"{i}.jpg", i)
    truncate(tmp_path / "1.jpg")
    (tmp_path / "4.jpg").unlink()
    pictures = FilePictures(tmp_path, tuple(f"{i}.jpg" for i in range(5)))
    told: list[int] = []
    found = unreadable(pictures, range(5), n_threads=n_threads, progress=told.append)
    assert sorted(found) == [1, 4]
    assert "1.jpg is truncated" in found[1]
    assert told == [5]
    assert sorted(unreadable(pictures, [0, 4])) == [4]
