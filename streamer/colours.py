"""The colours of the seven expressions, the same in every page, figure and picture."""

from __future__ import annotations

COLOURS: dict[str, str] = {
    "Neutral": "#9aa1a9",
    "Angry": "#d55e00",
    "Disgust": "#009e73",
    "Fear": "#cc79a7",
    "Happy": "#e69f00",
    "Sad": "#0072b2",
    "Surprise": "#56b4e9",
}
"""Okabe and Ito's colours, told apart with every common colour blindness, and a grey for Neutral."""

DARK_INK = "#14171a"
LIGHT_INK = "#ffffff"


def ink_on(expression: str) -> str:
    """The colour of writing on an expression's colour: dark, but for the one dark colour of the seven."""
    return LIGHT_INK if expression == "Sad" else DARK_INK


TRACK_COLOURS: tuple[str, ...] = ("#eedd88", "#77aadd", "#ffaabb", "#44bb99")
"""Four of Paul Tol's light scheme, for lines on a dark ground. None is an expression's."""


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers of 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
