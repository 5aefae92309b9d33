from __future__ import annotations

from streamer.web.deltas import Deltas


def test_only_what_differs_is_told() -> None:
    deltas = Deltas()
    assert deltas.of({"a": {"x": 1, "y": [1]}, "b": {}}) == {"set": {"a": {"x": 1, "y": [1]}, "b": {}}}
    assert deltas.of({"a": {"x": 1, "y": [1]}, "b": {}}) == {}
    assert deltas.of({"a": {"x": 2, "y": [1]}}) == {"set": {"a": {"x": 2}}, "gone": ["b"]}
    assert deltas.of({"a": {"x": 2, "y": [1]}, "b": {"z": None}}) == {"set": {"b": {"z": None}}}


def test_a_list_that_changed_in_place_is_noticed() -> None:
    deltas, values = Deltas(), [1]
    deltas.of({"a": {"x": tuple(values)}})
    values.append(2)
    assert deltas.of({"a": {"x": tuple(values)}}) == {"set": {"a": {"x": (1, 2)}}}
