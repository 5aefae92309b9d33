"""Answers of a web server as files that FFmpeg reads: one that can be sought, and one that only goes on."""

from __future__ import annotations

import time

from streamer.errors import SourceError, SourceUnreachable
from streamer.http_io import Answer, Http

_SKIPPED_BYTES = 256 * 1024
"""A short way forward is read over; asking anew takes longer."""
_BLOCK_BYTES = 64 * 1024
"""Read at once. The last block and the beginning are kept: who looks at a head goes back a little afterwards."""
_RETRIES_S = (0.0, 0.5, 2.0)
"""Waits before a broken connection is made again at the same place; as many without a byte end it."""


class HttpFile:
    """A video file at an address. `failure` says why it ended early; reads never raise, since FFmpeg would go on.

    Can be sought where the server gives ranges of bytes.
    """

    def __init__(self, http: Http, url: str) -> None:
        self.name = url.partition("?")[0]
        self.failure: SourceError | None = None
        self._http, self._url = http, url
        self._at = 0
        self._answer: Answer | None = http.get(url, 0)
        self._here = self._answer.first
        self._size = self._answer.whole
        self._ranges = self._answer.status == 206 and self._size is not None
        self._failed = 0
        self._block_at, self._block = 0, b""
        self._beginning = b""

    def read(self, n: int) -> bytes:
        """At most `n` bytes from here on; none at the end and after a failure."""
        for begin, block in ((0, self._beginning), (self._block_at, self._block)):
            if 0 <= self._at - begin < len(block):
                data = block[self._at - begin :][:n]
                self._at += len(data)
                return data
        if not self._fetch():
            return b""
        return self.read(n)

    def _fetch(self) -> bool:
        """Have the block that begins here; False at the end and after a failure."""
        while self.failure is None and not (self._size is not None and self._at >= self._size):
            try:
                data = self._read(_BLOCK_BYTES)
            except SourceError as error:
                self._drop()
                if not self._again(error):
                    self.failure = error
                continue
            if data:
                self._failed = 0
            self._block_at, self._block = self._at, data
            if self._at == len(self._beginning) < _BLOCK_BYTES:
                self._beginning += data
            return bool(data)
        return False

    def _read(self, n: int) -> bytes:
        if self._answer is not None and not 0 <= self._at - self._here <= _SKIPPED_BYTES:
            self._drop()
        if self._answer is None:
            self._answer = self._http.get(self._url, self._at, after=True)
            self._here = self._answer.first
            if self._answer.status != 206 and self._at:
                raise SourceUnreachable(f"{self._http.name} broke off, and its server cannot go on in the middle.")
        while True:
            skip = self._at - self._here
            data = self._answer.read(min(n, skip) if skip else n, time.monotonic() + self._http.connect.open_timeout_s)
            self._here += len(data)
            if not skip or not data:
                return data

    def _again(self, error: SourceError) -> bool:
        """Wait before the next try; False when there is to be none."""
        if not isinstance(error, SourceUnreachable) or not self._ranges or self._failed >= len(_RETRIES_S):
            return False
        self._failed += 1
        return not self._http.wires.aborted.wait(_RETRIES_S[self._failed - 1])

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go there; the next read asks for it."""
        base = (0, self._at, self._size or 0)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seekable(self) -> bool:
        """Whether the server gives ranges of bytes."""
        return self._ranges

    def renew(self) -> None:
        """An archive's packet may take as long as its bytes do."""

    @property
    def quiet_until_s(self) -> float:
        """Nothing is ever expected to stay away."""
        return 0.0

    def abort(self) -> None:
        """End all waits at once; from any thread."""
        self._http.abort()

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def close(self) -> None:
        """Close the connection; for the thread that reads."""
        self._drop()


class HttpStream:
    """An answer without an end. A packet must have come in full `read_s` after `renew`, however its bytes trickle."""

    def __init__(self, http: Http, url: str, read_s: float) -> None:
        self.name = url.partition("?")[0]
        self.failure: SourceError | None = None
        self._http, self._read_s = http, read_s
        self._answer = http.get(url)
        self._deadline_s = time.monotonic() + http.connect.open_timeout_s

    def read(self, n: int) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end and after a failure."""
        if self.failure is not None:
            return b""
        try:
            return self._answer.read(n, self._deadline_s)
        except SourceError as error:
            self.failure = error
            return b""

    def seekable(self) -> bool:
        """Never."""
        return False

    def renew(self) -> None:
        """Wait for the next packet."""
        self._deadline_s = time.monotonic() + self._read_s

    @property
    def quiet_until_s(self) -> float:
        """Nothing is ever expected to stay away."""
        return 0.0

    def abort(self) -> None:
        """End all waits at once; from any thread."""
        self._http.abort()

    def close(self) -> None:
        """Close the connection; for the thread that reads."""
        self._answer.close()
