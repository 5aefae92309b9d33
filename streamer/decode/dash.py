"""Manifests of DASH (ISO/IEC 23009-1) as values: one video of them, as pieces. Pure: the time is passed in.

Only what `hls` has too is read: no protection, no sound, one representation. Numbers count along the whole stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin
from xml.etree import ElementTree

from streamer.decode.hls import MAX_PIECES, NotAPlaylist, Protected, date_s
from streamer.decode.listing import Blob, Listing, Part, Piece
from streamer.variants import Choice, chosen, whole_number

_NAMESPACE = re.compile(r"\{[^}]*\}")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")
_FIELD = re.compile(r"\$(RepresentationID|Number|Time|Bandwidth)?(?:%0(\d{1,2})d)?\$")
_PERIOD_STRIDE = 1 << 64
_WINDOW = 30

Element = ElementTree.Element


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the manifest: elements from the outside to the representation, the address, and the period's times."""

    levels: tuple[Element, ...]
    base: str
    start_s: float
    length_s: float | None
    first_number: int


def parse_manifest(data: bytes, url: str, height: int, now_s: float) -> Listing | Blob:
    """The pieces of the video that is at least `height` high, or the whole of it where it is one file.

    `now_s` is the wall clock, seconds since 1970: where the pieces of a live stream are only numbered, it tells how
    many there are. Raises `NotAPlaylist`.
    """
    root = _root(data)
    live = root.get("type") == "dynamic"
    begun_s = date_s(_zoned(root.get("availabilityStartTime", ""))) if live else 0.0
    places = list(_places(root, url, height))
    if not places:
        raise NotAPlaylist("it holds no video")
    if not live and len(places) == 1 and (whole := _whole_file(places[0])) is not None:
        return whole
    since_s = now_s - begun_s if begun_s is not None else None
    pieces: list[Piece] = []
    for place in places:
        pieces.extend(_pieces(place, since_s if live else None, live))
    longest = max((piece.duration_s for piece in pieces), default=2.0)
    return Listing(tuple(pieces), longest, not live)


def _root(data: bytes) -> Element:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise NotAPlaylist("it declares entities, as no manifest does")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (no entities, and its size is bounded)
    except (ElementTree.ParseError, ValueError) as error:
        raise NotAPlaylist("it is no XML") from error
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", str(element.tag))
    if root.tag != "MPD":
        raise NotAPlaylist("it is no manifest")
    return root


def _places(root: Element, url: str, height: int) -> Iterator[_Place]:
    base = _base(root, url)
    start_s = 0.0
    total_s = duration_s(root.get("mediaPresentationDuration", ""))
    periods = root.findall("Period")
    for index, period in enumerate(periods):
        told_s = duration_s(period.get("start", ""))
        start_s = start_s if told_s is None else told_s
        length_s = duration_s(period.get("duration", ""))
        if length_s is None and index + 1 < len(periods):
            next_s = duration_s(periods[index + 1].get("start", ""))
            length_s = None if next_s is None else next_s - start_s
        if length_s is None and total_s is not None:
            length_s = total_s - start_s
        best = _best(period, height)
        if best is not None:
            group, one = best
            place = _base(one, _base(group, _base(period, base)))
            yield _Place((period, group, one), place, start_s, length_s, int(1000 * start_s) * _PERIOD_STRIDE)
        start_s += length_s or 0.0


def _best(period: Element, height: int) -> tuple[Element, Element] | None:
    found: list[tuple[Element, Element]] = []
    for group in period.findall("AdaptationSet"):
        for one in group.findall("Representation"):
            kind = one.get("mimeType") or group.get("mimeType") or group.get("contentType") or ""
            protected = group.find("ContentProtection") is not None or one.find("ContentProtection") is not None
            if protected:
                raise Protected("protected")
            if kind.startswith("video") or (not kind and (one.get("width") or group.get("width"))):
                found.append((group, one))
    choices = [
        Choice(str(index), whole_number(one.get("height") or group.get("height")), whole_number(one.get("bandwidth")))
        for index, (group, one) in enumerate(found)
    ]
    choice = chosen(choices, height)
    return None if choice is None else found[int(choice.url)]


def _base(element: Element, base: str) -> str:
    own = element.find("BaseURL")
    return urljoin(base, (own.text or "").strip()) if own is not None else base


def _whole_file(place: _Place) -> Blob | None:
    names = ("SegmentTemplate", "SegmentList")
    if any(level.find(name) is not None for level in place.levels for name in names):
        return None
    return Blob(place.base) if place.levels[-1].find("BaseURL") is not None else None


def _pieces(place: _Place, since_s: float | None, live: bool) -> Iterator[Piece]:
    template = _merged(place.levels, "SegmentTemplate")
    if template is not None:
        yield from _templated(place, template, since_s, live)
        return
    listed = _merged(place.levels, "SegmentList")
    if listed is None:
        raise NotAPlaylist("its segments are described in a way that is not read")
    scale = whole_number(listed.get("timescale")) or 1
    header = _listed(listed.find("Initialization"), "sourceURL", "range", place.base)
    for index, one in enumerate(listed.findall("SegmentURL")[:MAX_PIECES]):
        data = _listed(one, "media", "mediaRange", place.base)
        assert data is not None
        yield Piece(
            place.first_number + index,
            data,
            whole_number(listed.get("duration")) / scale,
            None,
            header,
        )


def _templated(place: _Place, template: Element, since_s: float | None, live: bool) -> Iterator[Piece]:
    one = place.levels[-1]
    scale = whole_number(template.get("timescale")) or 1
    number = whole_number(template.get("startNumber") or "1")
    fields = {"RepresentationID": one.get("id", ""), "Bandwidth": one.get("bandwidth", "0")}
    initialization = template.get("initialization")
    header = Blob(urljoin(place.base, _filled(initialization, fields))) if initialization else None
    timeline = template.find("SegmentTimeline")
    if timeline is not None:
        spans = _spans(timeline, number, place.length_s, scale)  # numbered anew as the oldest go, so time counts
    else:
        spans = _counted(template, number, place, scale, since_s, live)
    media = template.get("media", "")
    for index, (at, time, length) in enumerate(spans):
        if index >= MAX_PIECES:
            raise NotAPlaylist("it is far too long")
        name = _filled(media, fields | {"Number": str(at), "Time": str(time)})
        yield Piece(
            place.first_number + (time if timeline is not None else at),
            Blob(urljoin(place.base, name)),
            length / scale,
            None,
            header,
        )


def _spans(timeline: Element, number: int, length_s: float | None, scale: int) -> Iterator[tuple[int, int, int]]:
    """(number, time, length) of each segment."""
    time = 0
    entries = timeline.findall("S")
    for index, entry in enumerate(entries):
        time = whole_number(entry.get("t")) if entry.get("t") is not None else time
        length = whole_number(entry.get("d"))
        if length < 1:
            raise NotAPlaylist("a segment in it has no length")
        times = _signed(entry.get("r"))
        if times < 0:
            after = entries[index + 1].get("t") if index + 1 < len(entries) else None
            end = whole_number(after) if after is not None else int((length_s or 0.0) * scale)
            times = max(0, -(-(end - time) // length) - 1)
        for _ in range(min(times + 1, MAX_PIECES + 1)):
            yield number, time, length
            number, time = number + 1, time + length


def _counted(
    template: Element, number: int, place: _Place, scale: int, since_s: float | None, live: bool
) -> Iterator[tuple[int, int, int]]:
    length = whole_number(template.get("duration"))
    if length < 1:
        raise NotAPlaylist("a segment in it has no length")
    offset = whole_number(template.get("presentationTimeOffset"))
    if not live:
        n = -(-int((place.length_s or 0.0) * scale) // length)
        first = 0
    else:
        if since_s is None:
            raise NotAPlaylist("it does not say when it began")
        n = int(max(0.0, since_s - place.start_s) * scale // length)
        if place.length_s is not None:
            n = min(n, -(-int(place.length_s * scale) // length))
        first = max(0, n - _WINDOW)
    for index in range(first, min(n, first + MAX_PIECES + 1)):
        yield number + index, offset + index * length, length


def _merged(levels: tuple[Element, ...], name: str) -> Element | None:
    """The element `name` of the innermost level that has one, with what outer ones add."""
    merged: Element | None = None
    for level in levels:
        own = level.find(name)
        if own is None:
            continue
        if merged is None:
            merged = Element(name)
        merged.attrib.update(own.attrib)
        kinds = {child.tag for child in own}
        children = [child for child in merged if child.tag not in kinds] + list(own)
        merged[:] = children
    return merged


def _listed(element: Element | None, address: str, extent: str, base: str) -> Blob | None:
    if element is None:
        return None
    part: Part | None = None
    first, _, last = element.get(extent, "").partition("-")
    if first.isdecimal() and last.isdecimal():
        part = (int(first), int(last) - int(first) + 1)
    return Blob(urljoin(base, element.get(address, "")) if element.get(address) else base, part)


def _filled(template: str, fields: dict[str, str]) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1] is None:
            return "$"
        return fields.get(found[1], "").zfill(int(found[2] or 0))

    return _FIELD.sub(one, template)


def duration_s(text: str) -> float | None:
    """Seconds of an XML duration (`PT1H2M3.5S`); None where it is none. Years and months are not read."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        return None
    try:
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    except ValueError:
        return None
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def _zoned(text: str) -> str:
    """A date without a zone is one of UTC here."""
    return text if re.search(r"(Z|[+-]\d\d:?\d\d)$", text.strip()) else f"{text.strip()}Z"


def _signed(text: str | None) -> int:
    return -1 if (text or "").strip().startswith("-") else whole_number(text)
