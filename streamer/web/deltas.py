"""What has changed since a page was last told: only that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Deltas:
    """Remembers, for one page, what it knows of rows of plain values."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def of(self, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """`set`: the fields that differ by row, whole rows where they are new; `gone`: rows that are no more.

        Empty where nothing changed.
        """
        changed: dict[str, dict[str, Any]] = {}
        for name, row in rows.items():
            known = self._known.get(name)
            news = (
                dict(row)
                if known is None
                else {key: value for key, value in row.items() if key not in known or known[key] != value}
            )
            if news or known is None:
                changed[name] = news
        gone = [name for name in self._known if name not in rows]
        self._known = {name: dict(row) for name, row in rows.items()}
        return ({"set": changed} if changed else {}) | ({"gone": gone} if gone else {})
