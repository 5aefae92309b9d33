"""yt-dlp, held to what is wanted of it: it finds videos, writes nothing, says nothing, and goes where it may."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from streamer.config import ConnectSettings
from streamer.cookies import Cookie
from streamer.errors import AddressRefused, SourceUnreadable, SourceUnsupported
from streamer.netguard import networks_of
from streamer.reach import Reach
from streamer.sources.address_names import host_of
from streamer.sources.page_errors import as_source_error


@dataclass(frozen=True, slots=True)
class Session:
    """An open yt-dlp, for one page of which `name` may be shown."""

    name: str
    reach: Reach
    _made: Any
    _module: ModuleType

    def extract(self, url: str) -> dict[str, Any]:
        """What yt-dlp says about a page or a list of them. Raises `SourceError`."""
        try:
            self.reach.check(url)
            found = self._made.extract_info(url, download=False)
        except (AddressRefused, MemoryError):
            raise
        except Exception as error:  # its extractors raise anything where a site has changed
            if self.reach.refused is not None:
                raise self.reach.refused from None
            raise as_source_error(error, self.name, self._module) from error
        if not isinstance(found, dict):
            raise SourceUnsupported(f"{self.name} is no page that yt-dlp finds a video in: give the video's address.")
        return found

    def cookies(self) -> tuple[Cookie, ...]:
        """All that it has: of the file, and what sites have set meanwhile."""
        return tuple([cookie for one in self._made.cookiejar for cookie in as_cookies(one)])


@contextmanager
def session(
    url: str,
    name: str,
    connect: ConnectSettings,
    *,
    flat: bool = False,
    items: str | None = None,
    guarded: bool = False,
) -> Iterator[Session]:
    """yt-dlp for the page at `url`; with `flat` it lists a playlist's videos without looking at them. `items` are
    those wanted of a playlist (`1:2`). Where it is `guarded`, the page's own host is judged as any other.

    Raises `SourceUnsupported` where yt-dlp is not installed, `SourceUnreadable` for a file of cookies that is none.
    """
    module = _yt_dlp(name)
    reach = Reach(name, "" if guarded else host_of(url), networks_of(connect.networks))
    options: dict[str, Any] = {
        "quiet": True,
        "no_warnings": True,
        "logger": _Silence(),
        "color": "never",
        "noprogress": True,
        "cachedir": False,
        "skip_download": True,
        "noplaylist": True,
        "check_formats": False,
        "socket_timeout": connect.open_timeout_s,
        "extractor_retries": 1,
        "extract_flat": "in_playlist" if flat else False,
        "playlist_items": items,
        "lazy_playlist": True,
        "format": lambda context: context["formats"][-1:],  # chosen later, among all
    }
    if connect.cookies is not None:
        options["cookiefile"] = io.StringIO(_cookies(connect.cookies))  # as text: a file's name would be written to
    try:
        made = module.YoutubeDL(options)
    except Exception as error:
        raise as_source_error(error, name, module) from error
    answers: list[Any] = []
    try:
        made._request_director = made.build_request_director([_guarded(reach, answers)])
        yield Session(name, reach, made, module)
    finally:
        for answer in answers:  # its extractors leave some open
            answer.close()
        made.close()


def _yt_dlp(name: str) -> ModuleType:
    try:
        import yt_dlp  # loads 40 MB of what most streams never need
    except ImportError as error:
        raise SourceUnsupported(
            f"{name} is a page, which needs yt-dlp to be read: pip install 'affect-streamer[youtube]'."
        ) from error
    return yt_dlp  # type: ignore[no-any-return]


def _cookies(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SourceUnreadable(f"the cookies {path} cannot be read ({reason}): check connect.cookies.") from error


def as_cookies(kept: Any) -> list[Cookie]:
    """A cookie of `http.cookiejar`; none for one that is for some ports alone, or that would break a line."""
    value, path = kept.value or "", kept.path or "/"
    if kept.port is not None or not f"{kept.name}{value}{path}".isprintable():
        return []
    shared, domain = kept.domain.startswith("."), kept.domain.lower().removeprefix(".")
    domains = [domain]
    if not shared and domain.count(".") == 1 and domain.endswith(".local"):
        domains.append(domain.removesuffix(".local"))  # the jar writes a host without a dot like this
    return [Cookie(kept.name, value, one, shared, path, bool(kept.secure), kept.expires) for one in domains]


def _guarded(reach: Reach, answers: list[Any]) -> type:
    """yt-dlp's way to make requests, with each address looked at first, those of redirects too, and each answer put
    into `answers`."""
    from yt_dlp.networking._urllib import UrllibRH
    from yt_dlp.networking.exceptions import HTTPError

    class UrllibRHGuarded(UrllibRH):  # type: ignore[misc]  # untyped
        def _create_instance(self, *args: Any, **options: Any) -> Any:
            opener = super()._create_instance(*args, **options)
            opener.add_handler(_Looks(reach))
            return opener

        def _send(self, request: Any) -> Any:
            try:
                answer = super()._send(request)
            except HTTPError as error:
                answers.append(error.response)
                raise
            answers.append(answer)
            return answer

    UrllibRHGuarded.__name__ = UrllibRH.__name__  # its name is how yt-dlp knows it
    return UrllibRHGuarded


class _Looks(urllib.request.BaseHandler):
    """Makes `urllib` look at each address before it asks there, those of redirects too."""

    handler_order = 0  # before anything is sent

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        try:
            self._reach.check(request.full_url)
        except AddressRefused as error:
            raise urllib.error.URLError(str(error)) from error  # as `urllib` expects of a handler
        return request

    https_request = ftp_request = http_request


class _Silence:
    """A log that keeps nothing: what goes wrong is raised."""

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...
