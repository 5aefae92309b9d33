"""The pieces of an HLS or DASH stream as one file that only goes on; a thread of its own fetches ahead."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO

from streamer.decode.aes import decrypted
from streamer.decode.anchors import Anchors, Track, mp4_anchor, ts_anchor, video_track
from streamer.decode.bounded import check_index
from streamer.decode.listing import Blob, Listing, Piece, following, start_of
from streamer.errors import (
    ResolutionChanged,
    SourceBroke,
    SourceError,
    SourceStalled,
    SourceUnreachable,
    SourceUnsupported,
)
from streamer.http_io import Http

MAX_PIECE_BYTES = 64 * 1024 * 1024
_MAX_KEY_BYTES = 1024
_AHEAD = 2
_TRIES = 3
_RETRY_S = 0.5
_LEAST_WAIT_S = 0.1
_NEXT_BY = 1.5
"""The next piece must be there after so many times the longest one (RFC 8216 section 6.2.1) ..."""
_FETCH_S = 1.0
"""... and has to be fetched."""
_CLOSE_WAIT_S = 1.0


class PieceFile:
    """Bytes of the pieces, one after the other. `failure` says why they ended early; reads never raise.

    `reload` gives the listing anew. `live`: begin near the end, skip what is missing. One thread reads, any may
    `abort`; `anchors` has the dates of what is being read.
    """

    def __init__(
        self, http: Http, name: str, listing: Listing, reload: Callable[[], Listing], *, live: bool, read_s: float
    ) -> None:
        self.name = name
        self.failure: SourceError | None = None
        self.anchors = Anchors()
        self.duration_s = listing.duration_s
        self._http, self._listing, self._reload, self._live, self._read_s = http, listing, reload, live, read_s
        self._deadline_s = time.monotonic() + http.connect.open_timeout_s
        self._ready: deque[bytes] = deque()
        self._current = memoryview(b"")
        self._changed = threading.Condition()
        self._over = self._stopped = False
        self._listed_s = self._loaded_s = time.monotonic()
        self._header: bytes | None = None
        self._header_at: Blob | None = None
        self._track: Track | None = None
        self._keys: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self._fetch, name="fetch pieces", daemon=True)
        self._thread.start()

    # -- for who reads --------------------------------------------------------------------------------------------

    def read(self, n: int) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end and after a failure."""
        with self._changed:
            while not self._current:
                if self._ready:
                    self._current = memoryview(self._ready.popleft())
                    self._changed.notify_all()
                    continue
                if self._over or self._stopped:
                    return b""
                left_s = max(self._deadline_s, self.quiet_until_s) - time.monotonic()
                if left_s <= 0:
                    self.failure = SourceStalled(f"{self._http.name} has no new segment: it is opened again.")
                    self._stopped = True
                    return b""
                self._changed.wait(left_s)
        data, self._current = self._current[:n], self._current[n:]
        return bytes(data)

    def seekable(self) -> bool:
        """Never."""
        return False

    def renew(self) -> None:
        """Wait for the next packet."""
        self._deadline_s = time.monotonic() + self._read_s

    @property
    def quiet_until_s(self) -> float:
        """Until when (monotonic) it is no sign of trouble when nothing new comes."""
        if self._listing.ended:
            return 0.0
        return self._listed_s + _NEXT_BY * self._listing.target_s + _FETCH_S

    def abort(self) -> None:
        """End all waits at once; from any thread."""
        self._http.abort()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread; one that waits for a name server is left to itself."""
        self.abort()
        self._thread.join(_CLOSE_WAIT_S)

    # -- on the thread --------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        try:
            for piece in self._pieces():
                data = self._bytes(piece)
                with self._changed:
                    self._changed.wait_for(lambda: len(self._ready) < _AHEAD or self._stopped)
                    if self._stopped:
                        return
                    if data:
                        self._ready.append(data)
                        self._changed.notify_all()
        except SourceError as error:
            self.failure = self.failure or error
        except Exception as error:  # a thread that died silently would leave its stream waiting
            self.failure = SourceBroke(f"{self._http.name} could not be read on ({type(error).__name__}): report it.")
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _pieces(self) -> Iterator[Piece]:
        wanted = start_of(self._listing, live=self._live)
        while not self._stopped:
            for piece in following(self._listing, wanted, live=self._live):
                yield piece
                wanted = piece.number + 1
            if self._listing.ended:
                return
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        """Return when the listing has changed. Raises `SourceError` when it cannot be had, several times in a row."""
        wait_s = self._listing.target_s
        failed = 0
        while not self._http.wires.aborted.wait(max(_LEAST_WAIT_S, self._loaded_s + wait_s - time.monotonic())):
            self._loaded_s = time.monotonic()
            wait_s = self._listing.target_s / 2
            try:
                listing = self._reload()
            except SourceUnreachable:
                failed += 1
                if failed >= _TRIES:
                    raise
                continue
            failed = 0
            changed = _last(listing) != _last(self._listing)
            self._listing = listing
            if changed or listing.ended:
                self._listed_s = time.monotonic()
                return

    def _bytes(self, piece: Piece) -> bytes:
        """The piece, with its header before it where that is new; empty for one that a live stream no longer has."""
        if piece.gap:
            return b""
        header = self._header_of(piece)
        for attempt in range(_TRIES):
            try:
                data = self._data(piece)
                break
            except SourceUnreachable:
                if self._stopped or attempt + 1 == _TRIES:
                    raise
                self._http.wires.aborted.wait(_RETRY_S)
                if self._live and all(one.data != piece.data for one in self._reload().pieces):
                    return header
        if piece.date_s is not None:
            self._date(data, piece.date_s, piece.duration_s)
        check_index(self._http.name, BytesIO(header + data))
        return header + data

    def _header_of(self, piece: Piece) -> bytes:
        if piece.header is None or piece.header == self._header_at:
            return b""
        header, _ = self._http.whole(piece.header.url, MAX_PIECE_BYTES, self._limit_s(piece), piece.header.part)
        self._header_at = piece.header
        if header == self._header:
            return b""
        if self._header is not None:
            raise ResolutionChanged(f"{self._http.name} changes how it is encoded: it is opened again.")
        self._header, self._track = header, video_track(header)
        return header

    def _data(self, piece: Piece) -> bytes:
        blob = piece.data
        data, _ = self._http.whole(blob.url, MAX_PIECE_BYTES, self._limit_s(piece), blob.part, after=True)
        if piece.key is None:
            return data
        key = self._keys.get(piece.key.url)
        if key is None:
            key, _ = self._http.whole(piece.key.url, _MAX_KEY_BYTES, self._http.connect.open_timeout_s)
            self._keys = {piece.key.url: key}
        try:
            return decrypted(data, key, piece.key.vector)
        except ValueError as error:
            raise SourceUnsupported(f"{self._http.name} has a segment that is {error}: ask its sender.") from None

    def _limit_s(self, piece: Piece) -> float:
        return max(self._http.connect.open_timeout_s, 2 * piece.duration_s)

    def _date(self, data: bytes, date_s: float, duration_s: float) -> None:
        if self._track is not None:
            anchor = mp4_anchor(data, self._track, date_s, duration_s)
        else:
            anchor = ts_anchor(data, date_s, duration_s)
        if anchor is not None:
            self.anchors.add(anchor)


def _last(listing: Listing) -> tuple[int, Blob] | None:
    last = listing.pieces[-1] if listing.pieces else None
    return None if last is None else (last.number, last.data)
