"""Playlists of HLS (RFC 8216) as values. Pure: nothing is fetched, and no address is judged."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from urllib.parse import urljoin

from streamer.decode.listing import Blob, Key, Listing, Part, Piece
from streamer.variants import Choice, attributes, choices_in, whole_number

MAX_PIECES = 100_000
MAX_PIECE_S = 3600.0


class NotAPlaylist(ValueError):
    """The text is no playlist, or one that cannot be read; its own text says why."""


class Protected(NotAPlaylist):
    """What it lists is encrypted in a way that only some players are let into."""


@dataclass(frozen=True, slots=True)
class Master:
    """The qualities to choose from."""

    choices: tuple[Choice, ...]


def parse_playlist(text: str, url: str) -> Master | Listing:
    """What the playlist that came from `url` says; addresses in it are made whole. Raises `NotAPlaylist`."""
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    if not lines or not lines[0].startswith("#EXTM3U"):
        raise NotAPlaylist("it does not begin as a playlist does")
    choices = choices_in(text, url)
    if choices is not None:
        return Master(choices)
    return _Reading(url).read(lines)


class _Reading:
    """What the tags so far say of the segments to come."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pieces: list[Piece] = []
        self._number = 0
        self._target_s = 0.0
        self._ended = False
        self._header: Blob | None = None
        self._key: tuple[str, bytes | None] | None = None
        self._duration_s = 0.0
        self._date_s: float | None = None
        self._part: Part | None = None
        self._part_end = 0
        self._discontinuity = self._gap = False

    def read(self, lines: list[str]) -> Listing:
        for line in lines:
            if line.startswith("#"):
                self._tag(line)
            elif line:
                self._segment(line)
        if self._target_s <= 0:
            self._target_s = max((piece.duration_s for piece in self._pieces), default=1.0) or 1.0
        return Listing(tuple(self._pieces), self._target_s, self._ended)

    def _tag(self, line: str) -> None:
        tag, _, value = line.partition(":")
        match tag:
            case "#EXTINF":
                self._duration_s = _seconds(value.partition(",")[0])
            case "#EXT-X-TARGETDURATION":
                self._target_s = _seconds(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                self._number = whole_number(value)
            case "#EXT-X-ENDLIST":
                self._ended = True
            case "#EXT-X-PROGRAM-DATE-TIME":
                self._date_s = date_s(value)
            case "#EXT-X-DISCONTINUITY":
                self._discontinuity = True
            case "#EXT-X-GAP":
                self._gap = True
            case "#EXT-X-BYTERANGE":
                self._part = self._range(value, self._part_end)
            case "#EXT-X-MAP":
                told = attributes(line)
                part = self._range(told["BYTERANGE"], 0) if "BYTERANGE" in told else None
                self._header = Blob(urljoin(self._url, told.get("URI", "")), part)
            case "#EXT-X-KEY":
                self._key = self._cipher(attributes(line))
            case "#EXT-X-I-FRAMES-ONLY":
                raise NotAPlaylist("it lists single pictures only")
            case _:
                pass

    def _cipher(self, told: dict[str, str]) -> tuple[str, bytes | None] | None:
        method = told.get("METHOD", "NONE")
        if method == "NONE":
            return None
        if method != "AES-128" or told.get("KEYFORMAT", "identity") != "identity":
            raise Protected("protected")
        try:
            vector = bytes.fromhex(told["IV"][2:].zfill(32)) if "IV" in told else None
        except ValueError:
            vector = b""
        if vector is not None and len(vector) != 16:
            raise NotAPlaylist("its cipher's vector is none")
        return urljoin(self._url, told.get("URI", "")), vector

    def _segment(self, line: str) -> None:
        if len(self._pieces) >= MAX_PIECES:
            raise NotAPlaylist("it is far too long")
        key = self._key and Key(self._key[0], self._key[1] or self._number.to_bytes(16))
        if self._date_s is None and self._pieces and not self._discontinuity:
            last = self._pieces[-1]
            self._date_s = None if last.date_s is None else last.date_s + last.duration_s
        data = Blob(urljoin(self._url, line), self._part)
        self._pieces.append(
            Piece(
                self._number,
                data,
                self._duration_s,
                self._date_s,
                self._header,
                key,
                self._gap,
            )
        )
        self._number += 1
        self._part_end = sum(self._part) if self._part else 0
        self._date_s, self._part, self._discontinuity, self._gap = None, None, False, False

    @staticmethod
    def _range(value: str, follows: int) -> Part:
        n, _, first = value.strip().strip('"').partition("@")
        part = (whole_number(first) if first else follows, whole_number(n))
        if part[1] < 1:
            raise NotAPlaylist("a range of bytes in it is empty")
        return part


def date_s(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date; None where it is none, or names no zone."""
    try:
        date = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return date.timestamp() if date.tzinfo is not None else None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= MAX_PIECE_S else 0.0
