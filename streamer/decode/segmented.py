"""HLS and DASH opened: the playlist is fetched, a quality chosen, and its pieces become a file."""

from __future__ import annotations

from collections.abc import Callable

from streamer.clock import Clock
from streamer.config import ConnectSettings
from streamer.decode.dash import parse_manifest
from streamer.decode.hls import Master, NotAPlaylist, Protected, parse_playlist
from streamer.decode.http_file import HttpFile
from streamer.decode.listing import Blob, Listing
from streamer.decode.pieces import PieceFile
from streamer.errors import NotAVideo, NoVideoStream, SourceError, SourceUnsupported
from streamer.http_io import MAX_PLAYLIST_BYTES, Http
from streamer.source import Address, Source
from streamer.variants import chosen


def open_pieces(
    source: Source, address: Address, http: Http, connect: ConnectSettings, clock: Clock, read_s: float
) -> PieceFile | HttpFile:
    """The stream at `address` as a file. Raises the `SourceError` that fits."""
    live = source.mode == "live"
    if address.kind == "dash":
        reload: Callable[[], Listing | Blob] = _Manifest(http, address.url, connect.page_height, clock)
    else:
        reload = _Playlist(http, address.url, connect.page_height)
    found = reload()
    if isinstance(found, Blob):
        return HttpFile(http, found.url)

    def again() -> Listing:
        listing = reload()
        assert isinstance(listing, Listing)
        return listing

    return PieceFile(http, address.url.partition("?")[0], found, again, live=live, read_s=read_s)


class _Playlist:
    """Fetches the media playlist, of the quality that was chosen the first time."""

    def __init__(self, http: Http, url: str, height: int) -> None:
        self._http, self._url, self._height = http, url, height
        self._known = False

    def __call__(self) -> Listing:
        found = self._read()
        if isinstance(found, Master):
            choice = chosen(found.choices, self._height)
            if choice is None:
                raise NoVideoStream(f"{self._http.name} lists no video: name a stream with pictures in it.")
            self._url = choice.url
            found = self._read()
        if isinstance(found, Master):
            raise NotAVideo(f"{self._http.name} lists playlists of playlists, which is not read.")
        self._known = True
        return found

    def _read(self) -> Master | Listing:
        http = self._http
        data, url = http.whole(self._url, MAX_PLAYLIST_BYTES, http.connect.open_timeout_s, after=self._known)
        try:
            return parse_playlist(data.decode("utf-8", "replace"), url)
        except NotAPlaylist as error:
            raise unread(http.name, error) from None


class _Manifest:
    """Fetches the manifest. What it says of the past is forgotten, so pieces keep their numbers by their own words."""

    def __init__(self, http: Http, url: str, height: int, clock: Clock) -> None:
        self._http, self._url, self._height, self._clock = http, url, height, clock
        self._known = False

    def __call__(self) -> Listing | Blob:
        http = self._http
        data, url = http.whole(self._url, MAX_PLAYLIST_BYTES, http.connect.open_timeout_s, after=self._known)
        try:
            found = parse_manifest(data, url, self._height, self._clock.wall_s())
        except NotAPlaylist as error:
            raise unread(http.name, error) from None
        if self._known and isinstance(found, Blob):
            raise NotAVideo(f"{http.name} turned from a live stream into a single file: open it again.")
        self._known = True
        return found


def unread(name: str, error: NotAPlaylist) -> SourceError:
    """The error for a playlist that cannot be read."""
    if isinstance(error, Protected):
        return SourceUnsupported(f"{name} is protected, and no player but its own can read it.")
    return NotAVideo(f"{name} is no playlist that can be read ({error}): check the address.")
