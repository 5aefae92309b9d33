from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.state.va import AROUSAL_LIMITS, VALENCE_LIMITS, derived, origin, within


@given(st.lists(st.floats(0.001, 1.0), min_size=7, max_size=7))
@settings(derandomize=True)
def test_no_probabilities_leave_the_limits(weights: list[float]) -> None:
    total = sum(weights)
    valence, arousal = derived([w / total for w in weights])
    assert VALENCE_LIMITS[0] - 1e-9 <= valence <= VALENCE_LIMITS[1] + 1e-9
    assert AROUSAL_LIMITS[0] - 1e-9 <= arousal <= AROUSAL_LIMITS[1] + 1e-9


def test_only_human_annotations_make_it_predicted() -> None:
    assert origin("AffectNet, by people") == "predicted"
    assert origin(None) == "derived"


def test_a_linear_output_is_kept_on_the_scale() -> None:
    assert [within(x) for x in (-1.5, -1.0, 0.25, 1.0, 7.0)] == [-1.0, -1.0, 0.25, 1.0, 1.0]
