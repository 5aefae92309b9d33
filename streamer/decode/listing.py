"""What a playlist of HLS or a manifest of DASH comes to: pieces to be fetched one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LIVE_START_PIECES = 3
"""A live stream is joined so far from its end (RFC 8216 section 6.3.3), so that the next piece is always there."""

Part = tuple[int, int]
"""First byte and number of bytes."""


@dataclass(frozen=True, slots=True)
class Key:
    """AES-128 in CBC mode: where the key is, and the first block's vector."""

    url: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes at an address: all of them, or a part."""

    url: str
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment. `number` rises along a stream. `date_s` is when it was captured (seconds since 1970), where told.

    `header` comes before it (fragmented MP4), where it is another than that of the piece before. `gap`: there is none.
    """

    number: int
    data: Blob
    duration_s: float
    date_s: float | None = None
    header: Blob | None = None
    key: Key | None = None
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is now, oldest first. `target_s` is how long a piece is at most; `ended`: nothing will be added."""

    pieces: Sequence[Piece]
    target_s: float
    ended: bool

    @property
    def duration_s(self) -> float | None:
        """Of the whole, where there is an end."""
        return sum(piece.duration_s for piece in self.pieces) if self.ended else None


def start_of(listing: Listing, *, live: bool) -> int:
    """The number of the piece to begin with."""
    if not listing.pieces:
        return 0
    if listing.ended or not live:
        return listing.pieces[0].number
    return listing.pieces[-min(LIVE_START_PIECES, len(listing.pieces))].number


def following(listing: Listing, wanted: int, *, live: bool) -> Sequence[Piece]:
    """The pieces from number `wanted` on, which follows the last one that is known.

    The latest, where a live stream went on without us, or where the count went back (a sender that began anew).
    """
    pieces = listing.pieces
    if pieces and (pieces[-1].number < wanted - 1 or (live and pieces[0].number > wanted)):
        return pieces[-LIVE_START_PIECES:]
    return [piece for piece in pieces if piece.number >= wanted]
