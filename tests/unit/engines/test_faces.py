import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.faces import Face, crop, picture_to_crop, similarity
from engines.spec import CropGeometry
from engines.zoo.catalogue import FACE_TEMPLATE


@settings(derandomize=True, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.2, 5), st.floats(-200, 200), st.floats(-200, 200))
def test_a_similarity_is_recovered(angle: float, scale: float, dx: float, dy: float) -> None:
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    meant = np.array([[a, -b, dx], [b, a, dy]])
    template = np.array(FACE_TEMPLATE)
    points = (template - meant[:, 2]) @ np.linalg.inv(meant[:, :2]).T
    assert np.allclose(similarity(points.astype(np.float32), FACE_TEMPLATE), meant, atol=2e-2 * max(1, scale))


def test_a_box_crop_is_square_with_its_margin() -> None:
    face = Face(np.array([10, 20, 50, 100], np.float32), np.zeros((5, 2), np.float32), 1.0, 40.0)
    matrix = picture_to_crop(face, CropGeometry(kind="box", width=64, height=64, margin=0.125))
    corners = matrix @ np.array([[-20, 80], [10, 110], [1, 1]])  # side 80 * 1.25 = 100 around (30, 60)
    assert np.allclose(corners, [[0, 64], [0, 64]])


def test_a_crop_takes_the_pixels_it_should() -> None:
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[20:60, 30:70] = (200, 100, 50)
    face = Face(np.array([30, 20, 70, 60], np.float32), np.zeros((5, 2), np.float32), 1.0, 40.0)
    cut = crop(picture, face, CropGeometry(kind="box", width=40, height=40))
    assert (cut[1:-1, 1:-1] == (200, 100, 50)).all()
