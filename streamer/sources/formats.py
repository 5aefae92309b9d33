"""Which of a page's formats is read: pure choice among what yt-dlp lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from streamer.source import Kind

Format = Mapping[str, Any]
"""A format as yt-dlp describes it: `url`, and perhaps `protocol`, `height`, `vcodec`, `acodec`, `tbr`, ..."""

_KINDS: dict[str, Kind] = {
    "m3u8": "hls",
    "m3u8_native": "hls",
    "http_dash_segments": "dash",
    "http": "http",
    "https": "http",
}
_CHEAP = (("avc", "h264"), ("vp9", "vp09", "vp8", "vp08"), ("hev", "hvc", "h265"), ("av01", "av1"))
_UNKNOWN = 1.5  # as dear as it may be: between what decodes cheaply and what does not


def choose(formats: Iterable[Format], height_px: int, *, is_live: bool, now_s: float) -> Format | None:
    """The smallest format that is at least `height_px` high, else the highest there is; None where none has a video.

    Among those of one height: what can be read now, what decodes cheaply (H.264, VP9, HEVC, AV1 in this order), what
    carries the fewest bits.
    """
    return min(
        (one for one in formats if kind_of(one) and one.get("vcodec") != "none" and not one.get("has_drm")),
        key=lambda one: _dearness(one, height_px, is_live=is_live, now_s=now_s),
        default=None,
    )


def kind_of(found: Format) -> Kind | None:
    """What a format is read as; None for what is not read."""
    kind = _KINDS.get(found.get("protocol") or "")
    return None if kind == "dash" and not found.get("manifest_url") else kind


def address_in(found: Format) -> str:
    """The address that is opened for a format: of DASH that of the manifest."""
    return str(found["manifest_url"] if kind_of(found) == "dash" else found["url"])


def _dearness(found: Format, height_px: int, *, is_live: bool, now_s: float) -> tuple[float, ...]:
    height = found.get("height")
    size = (0.0, float(height)) if height and height >= height_px else (1.0, -float(height or 0))
    waits = (found.get("available_at") or 0) > now_s
    codec = (found.get("vcodec") or "").lower()
    cost = next((at for at, names in enumerate(_CHEAP) if codec.startswith(names)), _UNKNOWN)
    protocols = ("hls", "dash", "http") if is_live else ("http", "hls", "dash")
    bits = found.get("vbr") or found.get("tbr") or float("inf")
    with_sound = found.get("acodec") not in (None, "none")
    return (*size, waits, cost, protocols.index(kind_of(found) or "http"), with_sound, float(bits))
