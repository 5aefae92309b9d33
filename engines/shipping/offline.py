"""Whole sequences outside the streamer: see `engines.runtime.offline`, which evaluation reads as well."""

from engines.runtime.offline import Sequence, blocks_of, probabilities, run_head, stat_of

__all__ = ["Sequence", "blocks_of", "probabilities", "run_head", "stat_of"]
