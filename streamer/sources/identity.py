"""The session of an archive: what makes a second reading of the same bytes the same session."""

from __future__ import annotations

import base64
import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from streamer.errors import SourceMissing, SourceUnreachable, SourceUnsupported
from streamer.source import Source, images_in

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 20.0


def session_of(source: Source) -> str:
    """64 hexadecimal digits that stand for the content, so that any replay of it is the same session.

    - a file: the sha256 of its bytes;
    - an image folder: over the names and the bytes of its images, in the order they are read, and the rate;
    - http: over the address (without user and password), the strong ETag and the length; a server that gives no
      strong ETag has its content read once and hashed, since only identical bytes may share a session;
    - a test source: over its address.

    Raises `SourceMissing`, `SourceUnreachable`; `SourceUnsupported` for a camera, which has no session to repeat.
    """
    if source.kind == "webcam":
        raise SourceUnsupported(f"{source.name} is a camera: it cannot be read in archive mode.")
    if source.kind == "testsrc":
        return hashlib.sha256(source.url.encode()).hexdigest()
    if source.kind == "http":
        return _http_session(source)
    digest = hashlib.sha256()
    try:
        if source.kind == "images":
            digest.update(f"images {source.rate}\0".encode())
            for image in images_in(Path(source.url)):
                name = image.name.encode("utf-8", "surrogateescape")
                digest.update(len(name).to_bytes(8) + name)
                digest.update(image.stat().st_size.to_bytes(8))
                _add_file(digest, image)
        else:
            _add_file(digest, Path(source.url))
    except OSError as error:
        raise SourceMissing(
            f"{source.name} cannot be read ({error.strerror}): check the path and its rights."
        ) from error
    return digest.hexdigest()


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)


def _http_session(source: Source) -> str:
    parts = urlsplit(source.url)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    headers = {"User-Agent": "affect-streamer", "Accept-Encoding": "identity"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    try:
        request = urllib.request.Request(address, headers=headers)  # noqa: S310 (http and https only: see parse)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            tag = answer.headers.get("ETag") or ""
            length = answer.headers.get("Content-Length") or ""
            if tag.startswith('"') and length:
                return hashlib.sha256(f"{address}\0{tag}\0{length}".encode()).hexdigest()
            digest = hashlib.sha256()
            while chunk := answer.read(_CHUNK_BYTES):
                digest.update(chunk)
            return digest.hexdigest()
    except (OSError, urllib.error.URLError, ValueError) as error:
        reason = "did not answer"
        if isinstance(error, urllib.error.HTTPError):
            reason = f"answered {error.code}"
            error.close()
        raise SourceUnreachable(f"{source.name} {reason}: check the address and try again.") from error
