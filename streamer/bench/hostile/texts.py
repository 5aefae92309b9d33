"""Text files under the names of videos: playlists that never end, and that name files and addresses of this machine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path


def playlist(rng: random.Random, secret: Path) -> tuple[str, str, bytes]:
    """(what it is, ending, content). `secret` is a playable video that nothing may lead to."""
    here = rng.choice(
        (
            str(secret),
            f"file://{secret}",
            secret.name,
            f"subfile,,start,0,end,0,,:{secret}",
            f"concat:{secret}|{secret}",
        )
    )
    inside = rng.choice(
        (here, here, "http://127.0.0.1:9/x.ts", "http://169.254.169.254/latest/meta-data", "tcp://127.0.0.1:9")
    )
    texts = _texts(rng, inside)
    name = rng.choice(sorted(texts))
    ending = rng.choice((name, "mp4", "ts", "avi", "m3u8", "mkv"))
    return f"text-{name}", ending, texts[name].encode()


def _texts(rng: random.Random, inside: str) -> dict[str, str]:
    n = rng.choice((1, 3, 20_000))
    segment = f"#EXTINF:2,\n{inside}\n"
    manifest = f'<Representation id="1" bandwidth="1"><BaseURL>{inside}</BaseURL></Representation>'
    return {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segment * n}" + rng.choice(("", "#EXT-X-ENDLIST\n")),
        "master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{inside}\n" * min(n, 1000),
        "keyed": f'#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI="{inside}"\n{segment}',
        "mapped": f'#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI="{inside}"\n{segment}#EXT-X-ENDLIST\n',
        "ffconcat": "ffconcat version 1.0\n" + f"file '{inside}'\n" * n,
        "mpd": '<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT9S"><Period><AdaptationSet '
        f'mimeType="video/mp4">{manifest}</AdaptationSet></Period></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "ram": f"{inside}\n" * n,
        "html": f'<html><meta http-equiv="refresh" content="0; url={inside}"></html>',
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{inside}"/></svg>',
    }


def secrets(seeds: Sequence[bytes], folder: Path) -> Path:
    """The playable video that nothing may lead to, in `folder`."""
    path = folder / "secret.ts"
    path.write_bytes(seeds[0])
    return path
