"""What every server of the rig can be made to do."""

from __future__ import annotations

from typing import Protocol


class Camera(Protocol):
    """A source under its `url`. It runs once it is made, and keeps its port until it is closed."""

    @property
    def url(self) -> str:
        """Where it is watched. Holds its password or token, where it wants one."""
        ...

    def kill(self) -> None:
        """End it without a word to anybody: connections break, and new ones are refused."""
        ...

    def freeze(self) -> None:
        """Have it hang: connections stay, new ones are accepted, and nothing comes."""
        ...

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        ...

    def restart(self) -> None:
        """Start it again at the same address after `kill`; returns when it listens."""
        ...

    def close(self) -> None:
        """End it, in whatever state it is, and leave nothing."""
        ...
