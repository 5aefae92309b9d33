"""Who may ask: a token, the host that is asked for, and where a request comes from. Pure.

A page in a browser of this machine can send requests to loopback. It can be kept from reading answers by the browser,
unless its own name is made to mean 127.0.0.1 for the while (DNS rebinding): then the request's Host is that name. And
what it can send without being asked for leave bears its Origin, and is no JSON.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import UsageError
from streamer.listen import ListenAddress, is_loopback

LEAST_TOKEN_LENGTH = 16
OPEN_TO_ALL = frozenset(("/healthz", "/readyz"))
"""What tells nothing that is worth a token: for those who look whether the process lives and works."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not followed: the HTTP status, a stable word and a sentence."""

    status: int
    cause: str
    message: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules of one server. Without a token it must listen on loopback; `read_only`, it follows no changes."""

    token: str | None = None
    read_only: bool = False

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why this request is not to be followed; None when it is. `headers` ignores the case of names."""
        host = headers.get("Host", "")
        if self.token is None and not is_loopback(_host_of(host)):
            return Refusal(403, "wrong_host", "this server is asked for by another name than this machine's: use it.")
        origin = headers.get("Origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return Refusal(403, "wrong_origin", "requests of other pages are not followed.")
        if self.token is not None and path not in OPEN_TO_ALL and not self._knows(headers.get("Authorization", "")):
            return Refusal(401, "no_token", "send the token: Authorization: Bearer TOKEN.")
        if self.read_only and method in ("PUT", "PATCH", "DELETE"):
            return Refusal(405, "read_only", "this address only shows: changes are for --control, or for the bus.")
        if method in ("PUT", "PATCH") and _type_of(headers.get("Content-Type", "")) != "application/json":
            return Refusal(415, "not_json", "send JSON, with Content-Type: application/json.")
        return None

    def is_token(self, given: str) -> bool:
        """Whether this is the token: compared in a time that tells nothing."""
        expected = (self.token or "").encode()
        return bool(expected) and hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected)

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and self.is_token(given)


def token_variable(section: str) -> str:
    """The environment variable that may hold the token of what `section` of the settings is about."""
    return f"STREAMER_{section.upper()}_TOKEN"


def guard_for(
    address: ListenAddress,
    token_file: str | None,
    environment: Mapping[str, str],
    section: str = "control",
    *,
    read_only: bool = False,
) -> Guard:
    """The rules for a server at `address`. Raises `UsageError` where it would be open to others without a token.

    Each section has a token of its own: whoever may scrape may not change anything.
    """
    variable = token_variable(section)
    token = environment.get(variable)
    if token_file is not None:
        try:
            token = Path(token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{section}.token_file {token_file} cannot be read: {error}") from error
    if token is not None and (len(token) < LEAST_TOKEN_LENGTH or not token.isascii() or not token.isprintable()):
        raise UsageError(f"the {section} token must be at least {LEAST_TOKEN_LENGTH} printable ASCII characters")
    if token is None and not address.is_loopback:
        raise UsageError(
            f"{address.host} can be reached by others: set a token ({variable} or {section}.token_file), or use "
            "127.0.0.1"
        )
    return Guard(token, read_only)


def _host_of(header: str) -> str:
    """The host in a Host header, without its port and brackets; empty for what is none."""
    found = re.fullmatch(r"(?:\[([^\[\]\s]+)\]|([^:\[\]\s]+))(?::[0-9]+)?", header)
    return "" if found is None else found[1] or found[2]


def _type_of(header: str) -> str:
    return header.partition(";")[0].strip().lower()
