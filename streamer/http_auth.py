"""The answer to a server that wants to know who asks: Basic (RFC 7617) and Digest (RFC 7616)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, unquote

_ITEM = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


def credentials_of(parts: SplitResult) -> tuple[str, str] | None:
    """User name and password that are written in an address; None where there are none."""
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def authorization(
    challenges: Sequence[str], method: str, uri: str, credentials: tuple[str, str], nonce: str
) -> str | None:
    """The `Authorization` header for the `WWW-Authenticate` headers of a 401; None where no way of theirs is known.

    Digest is taken before Basic, which tells the password to everybody on the way. `nonce` is the client's own, new
    for each request.
    """
    for text in challenges:
        if text.strip().lower().startswith("digest "):
            answer = _digest(_items(text), method, uri, credentials, nonce)
            if answer is not None:
                return answer
    if any(text.strip().lower().split(" ")[0] == "basic" for text in challenges):
        return "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
    return None


def _items(text: str) -> dict[str, str]:
    return {
        key.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for key, quoted, plain in _ITEM.findall(text)
    }


def _digest(asked: dict[str, str], method: str, uri: str, credentials: tuple[str, str], nonce: str) -> str | None:
    algorithm = asked.get("algorithm", "MD5").upper()
    hashed = _HASHES.get(algorithm)
    ways = [way.strip() for way in asked.get("qop", "").split(",") if way.strip()]
    if hashed is None or "nonce" not in asked or (ways and "auth" not in ways):
        return None
    user, password = credentials
    realm = asked.get("realm", "")
    secret = hashed(f"{user}:{realm}:{password}".encode())
    request = hashed(f"{method}:{uri}".encode())
    told = {"username": user, "realm": realm, "nonce": asked["nonce"], "uri": uri}
    if ways:
        told["response"] = hashed(f"{secret}:{asked['nonce']}:00000001:{nonce}:auth:{request}".encode())
        told["cnonce"] = nonce
    else:
        told["response"] = hashed(f"{secret}:{asked['nonce']}:{request}".encode())
    if "opaque" in asked:
        told["opaque"] = asked["opaque"]
    text = ", ".join(f'{key}="{_quoted(value)}"' for key, value in told.items())
    return f"Digest {text}, algorithm={algorithm}" + (", qop=auth, nc=00000001" if ways else "")


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
