"""What was missing, damaged or left out while a set was read: counted by cause, named."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.data.config import OnError
from engines.errors import BadData

N_NAMED = 5
"""How many of each cause are named: enough to look at, few enough to read."""


@dataclass
class Cause:
    """One kind of finding: how many there are, the first few by name, and how many further names there would be."""

    count: int = 0
    names: list[str] = field(default_factory=list)
    n_unnamed: int = 0

    def add(self, name: str, n: int = 1) -> None:
        """Count `n` more under one name."""
        self.count += n
        if len(self.names) < N_NAMED:
            self.names.append(name)
        else:
            self.n_unnamed += 1

    def text(self) -> str:
        """`12 (a, b, c, d, e and 7 more)`."""
        more = f" and {self.n_unnamed:,} more" if self.n_unnamed else ""
        return f"{self.count:,} ({', '.join(self.names)}{more})"


@dataclass
class Findings:
    """`damage`: what ought to be there and is missing or unreadable. `left_out`: what the set marks as unusable, such
    as AffectNet's Contempt or frames no face was found in; that is expected and never refused.
    """

    damage: dict[str, Cause] = field(default_factory=dict)
    left_out: dict[str, Cause] = field(default_factory=dict)

    def damaged(self, cause: str, name: str, n: int = 1) -> None:
        """Count damage; `cause` is a plural, such as `missing pictures`."""
        self.damage.setdefault(cause, Cause()).add(name, n)

    def leave_out(self, cause: str, name: str, n: int = 1) -> None:
        """Count what is left out on purpose."""
        self.left_out.setdefault(cause, Cause()).add(name, n)

    @property
    def n_damaged(self) -> int:
        """All damage together."""
        return sum(cause.count for cause in self.damage.values())

    def settle(self, name: str, on_error: OnError) -> None:
        """Nothing when no damage was found or it may be skipped; else `BadData` with causes, counts and first names."""
        if self.damage and on_error == "refuse":
            told = "; ".join(f"{cause} {found.text()}" for cause, found in self.damage.items())
            raise BadData(f"{name} is incomplete or damaged: {told}; repair it, or go on without with on_error: skip")
