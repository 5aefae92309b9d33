"""The default models for tests that need real weights: from the cache, else pulled; skipped visibly when neither."""

from __future__ import annotations

import os

import pytest

from engines import zoo
from engines.errors import ModelUnavailable
from engines.zoo.entries import Https


def default_model(name: str) -> zoo.LoadedModel:
    """A zoo model. Where continuous integration runs, not having one that package clients bring is a failure."""
    try:
        return zoo.load(name)
    except ModelUnavailable as error:
        by_client = any(not isinstance(source, Https) for source in zoo.entry_of(name).sources)
        if os.environ.get("CI") == "true" and by_client:
            raise
        pytest.skip(str(error))
