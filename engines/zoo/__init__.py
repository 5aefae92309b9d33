"""The zoo: which weights exist, where each comes from, how they are verified. Imports no engine and no converter."""

from engines.zoo.cache import CACHE_VARIABLE, cache_folder
from engines.zoo.entries import LoadedModel
from engines.zoo.exports import exported_head, load_export
from engines.zoo.heads import check_fit, default_head, load_head, shipped_heads
from engines.zoo.store import (
    ListedModel,
    Verification,
    entry_of,
    is_export,
    list_models,
    load,
    model_path,
    pull,
    spec_of,
    verify,
)

__all__ = [
    "CACHE_VARIABLE",
    "ListedModel",
    "LoadedModel",
    "Verification",
    "cache_folder",
    "check_fit",
    "default_head",
    "entry_of",
    "exported_head",
    "is_export",
    "list_models",
    "load",
    "load_export",
    "load_head",
    "model_path",
    "pull",
    "shipped_heads",
    "spec_of",
    "verify",
]
