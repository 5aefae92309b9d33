"""The zoo: which weights exist, where each comes from, how they are verified. Imports no engine and no converter."""

from engines.zoo.cache import CACHE_VARIABLE, cache_folder
from engines.zoo.entries import LoadedModel
from engines.zoo.heads import load_head
from engines.zoo.store import ListedModel, Verification, entry_of, list_models, load, model_path, pull, verify

__all__ = [
    "CACHE_VARIABLE",
    "ListedModel",
    "LoadedModel",
    "Verification",
    "cache_folder",
    "entry_of",
    "list_models",
    "load",
    "load_head",
    "model_path",
    "pull",
    "verify",
]
