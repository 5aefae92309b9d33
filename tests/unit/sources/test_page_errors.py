from __future__ import annotations

import io
import urllib.error

import pytest

from streamer.errors import (
    SourceError,
    SourceMissing,
    SourceUnauthorized,
    SourceUnreachable,
    SourceUnsupported,
)
from streamer.sources.page_errors import as_source_error

yt_dlp = pytest.importorskip("yt_dlp")
NAME = "https://site.example/watch"


def raised(error: Exception) -> SourceError:
    """What comes of `error` on the way that yt-dlp sends it: inside of a `DownloadError` with `exc_info`."""
    told = getattr(error, "exc_info", None)
    info = told if told and told[0] else (type(error), error, None)
    return as_source_error(yt_dlp.utils.DownloadError(f"ERROR: {error}", info), NAME, yt_dlp)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Private video. Sign in if you've been granted access to this video", SourceMissing),
        ("Video unavailable. This video has been removed by the uploader", SourceMissing),
        ("This video is no longer available because the account has been terminated", SourceMissing),
        ("The channel does not exist", SourceMissing),
        (
            "Sign in to confirm you’re not a bot. Use --cookies-from-browser or --cookies for the authentication",
            SourceUnauthorized,
        ),
        ("Sign in to confirm your age. This video may be inappropriate for some users.", SourceUnauthorized),
        ("This video is only available for registered users. Use --cookies", SourceUnauthorized),
        ("Join this channel to get access to members-only content", SourceUnauthorized),
        ("This live event will begin in 3 hours.", SourceUnreachable),
        ("Premieres in 20 minutes", SourceUnreachable),
        ("somebody is offline", SourceUnreachable),
        ("Unable to extract uploader id", SourceUnsupported),
        ("No video formats found!", SourceUnsupported),
    ],
)
def test_what_a_site_says_is_told_apart(said: str, kind: type[SourceError]) -> None:
    error = raised(yt_dlp.utils.ExtractorError(said, expected=True))
    assert type(error) is kind
    assert str(error).startswith(NAME)


def test_errors_with_types_of_their_own() -> None:
    assert type(raised(yt_dlp.utils.UserNotLive())) is SourceUnreachable
    assert type(raised(yt_dlp.utils.UnsupportedError("https://x/?token=geheim"))) is SourceUnsupported
    assert type(raised(yt_dlp.utils.GeoRestrictedError("not available in your country"))) is SourceUnauthorized
    assert type(raised(KeyError("streamingData"))) is SourceUnsupported


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, SourceMissing), (410, SourceMissing), (401, SourceUnauthorized), (403, SourceUnauthorized)]
    + [(status, SourceUnreachable) for status in (429, 500, 503)],
)
def test_answers_are_told_apart_by_their_status(status: int, kind: type[SourceError]) -> None:
    response = yt_dlp.networking.common.Response(io.BytesIO(), NAME, {}, status=status)
    answer = yt_dlp.networking.exceptions.HTTPError(response)
    for error in (answer, yt_dlp.utils.ExtractorError("Unable to download webpage", cause=answer)):
        told = raised(error)
        assert type(told) is kind
        assert str(status) in str(told)
    response.close()


def test_a_network_that_fails_is_unreachable() -> None:
    cause = urllib.error.URLError(OSError("Connection refused"))
    lost = yt_dlp.networking.exceptions.TransportError(cause=cause)
    assert type(raised(lost)) is SourceUnreachable
    assert type(raised(yt_dlp.utils.ExtractorError("Unable to download webpage", cause=lost))) is SourceUnreachable


def test_a_reason_is_one_sentence_without_addresses_and_without_colours() -> None:
    said = (
        "\x1b[0;31mGone wrong\x1b[0m at https://u:geheim@h/x?sig=geheim now. Try something\nelse (caused by X(geheim))"
    )
    told = str(raised(yt_dlp.utils.ExtractorError(said)))
    assert "geheim" not in told
    assert told.isprintable()
    assert "[0" not in told
    assert told.count(". ") == 0
    assert len(told) < 300
