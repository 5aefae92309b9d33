"""Plotly figures as plain JSON: no plotting library is imported, and no name from outside enters a figure.

A figure is `{columns, data, layout, says}`. A string `@name` in `data` stands for the column of that name, so that the
seven areas of a track share one column of times; `$name` stands for a colour of the page's theme, light or dark. The
page's script puts both in. `says` is the figure in words, for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

MAX_INTERVALS = 400

Figure = dict[str, Any]


def rounded(values: Iterable[float]) -> list[float]:
    """Values to four digits: more cannot be seen."""
    numbers: list[float] = np.round(np.fromiter(values, np.float64), 4).tolist()
    return numbers
