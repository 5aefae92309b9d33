"""Asking a running process over HTTP, as `streamer doctor --at` does."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from streamer.control.scrape import Scrape
from streamer.errors import StreamerError, UsageError

TIMEOUT_S = 15.0


class NotAsked(StreamerError):
    """Nobody answers, or not what was asked for."""

    cause = "not_answered"


@dataclass(frozen=True, slots=True)
class Asked:
    """A process at `url`, such as `http://127.0.0.1:9180`. Raises `UsageError` for what is no such address."""

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        except ValueError:
            wrong = True
        if wrong or parts.username is not None:
            raise UsageError(f"{self.url.rpartition('@')[2]!r} is no address: write http://HOST:PORT")

    def readiness(self) -> dict[str, Any]:
        """What /readyz says, ready or not. Raises `NotAsked`, as the others do."""
        return self._json("/readyz", also=503)

    def streams(self) -> list[dict[str, Any]]:
        """Every stream, as /streams shows it."""
        return list(self._json("/streams")["streams"])

    def scrape(self) -> Scrape:
        """Every sample of /metrics."""
        text = self._get("/metrics", None)
        try:
            families = list(text_string_to_metric_families(text))
        except ValueError as error:
            raise NotAsked(f"what {self.url} calls metrics cannot be read: is it an affect-streamer?") from error
        return Scrape.of(sample for family in families for sample in family.samples)

    def _json(self, path: str, also: int | None = None) -> dict[str, Any]:
        try:
            found = json.loads(self._get(path, also))
        except ValueError as error:
            raise NotAsked(f"what {self.url}{path} says cannot be read: is it an affect-streamer?") from error
        if not isinstance(found, dict):
            raise NotAsked(f"what {self.url}{path} says cannot be read: is it an affect-streamer?")
        return found

    def _get(self, path: str, also: int | None) -> str:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
            connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise NotAsked(
                f"nobody answers at {self.url} ({getattr(error, 'strerror', None) or type(error).__name__}): is the "
                "process running, with --metrics or --control?"
            ) from error
        finally:
            connection.close()
        if answer.status == 401:
            raise NotAsked(f"{self.url} wants its token: name the file that has it with --token-file")
        if answer.status == 503 and also is None:
            raise NotAsked(f"{self.url} does not answer in time: its loop is stuck, or the machine is overloaded")
        if answer.status not in (200, also):
            raise NotAsked(f"{self.url}{path} answers with status {answer.status}: is it an affect-streamer?")
        return body


def token_of(path: str | None) -> str | None:
    """The token in a file. Raises `UsageError`."""
    if path is None:
        return None
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {path} cannot be read: {error}") from error
    if not token.isascii() or not token.isprintable():
        raise UsageError(f"the token file {path} does not hold a token: printable ASCII characters on one line")
    return token
