from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamer.faces.boxes import areas, iou_matrix, suppress

coordinate = st.integers(0, 40)
boxes_and_scores = st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate, st.integers(1, 9)), max_size=12)


def iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """One pair, written out."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return float(inner / union) if union else 0.0


def arrays(found: list[tuple[int, int, int, int, int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = np.array(found, np.float64).reshape(-1, 5)
    boxes = np.stack([rows[:, 0], rows[:, 1], rows[:, 0] + rows[:, 2], rows[:, 1] + rows[:, 3]], axis=1)
    return boxes, rows[:, 4] / 10


def test_known_overlaps() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4], [3, 3, 3, 3]], np.float32)
    np.testing.assert_allclose(iou_matrix(a, b)[0], [1, 1 / 3, 0, 0.04, 0], rtol=1e-6)


def test_nothing_overlaps_nothing() -> None:
    none, one = np.zeros((0, 4)), np.ones((1, 4))
    assert iou_matrix(none, one).shape == (0, 1)
    assert iou_matrix(one, none).shape == (1, 0)
    assert suppress(none, np.zeros(0), 0.3, 5).tolist() == []


def test_boxes_turned_inside_out_have_no_area() -> None:
    assert areas(np.array([[5, 5, 2, 9], [0, 0, 2, 3]], np.float32)).tolist() == [0, 6]


def test_equal_scores_keep_their_order() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10], [51, 0, 61, 10]], np.float32)
    assert suppress(boxes, np.full(4, 0.5), 0.3, 10).tolist() == [0, 2]


def test_at_most_the_limit_stays() -> None:
    boxes = np.array([[20 * i, 0, 20 * i + 10, 10] for i in range(9)], np.float32)
    assert suppress(boxes, np.arange(9) / 10, 0.3, 3).tolist() == [8, 7, 6]


@settings(derandomize=True)
@given(boxes_and_scores, st.sampled_from([0.1, 0.3, 0.5]))
def test_same_as_the_plain_loop(found: list[tuple[int, int, int, int, int]], threshold: float) -> None:
    boxes, scores = arrays(found)
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(iou(boxes[i], boxes[j]) < threshold for j in kept):
            kept.append(i)
    assert suppress(boxes, scores, threshold, 100).tolist() == kept
