"""The filters at their best: every setting of a grid tried on the training simulator, the highest score taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from engines.metrics import challenge_expression_score
from engines.spec import N_PROBS
from engines.temporal.filters import AnyFilter, Bare, Ema, Filter, Hmm, Hysteresis, Remap, run_filter
from engines.temporal.sequences import Sequences

TAUS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0)
MARGINS = (0.02, 0.05, 0.1, 0.15, 0.25)
DWELLS_S = (2.0, 4.0, 8.0, 16.0)
TRUSTS = (0.15, 0.3, 0.6, 1.0)
RENEWALS_S = (0.05, 0.15, 0.3, 0.6, 1.2)


def tuned_filters(tracks: Sequences, remap: Remap) -> list[AnyFilter]:
    """The bare net and the best of each kind of filter by the challenge's score, each without and with the remap."""
    best: list[AnyFilter] = []
    for through in (None, remap):
        kinds = (_bare(through), _emas(through), _hysteresis(through), _hmms(through, tracks))
        best += [max(kind, key=lambda one: score(one, tracks)) for kind in kinds]
    return best


def score(one: Filter, tracks: Sequences) -> float:
    """The challenge's expression score of a filter on tracks."""
    return challenge_expression_score(tracks.labels.ravel(), run_filter(one, tracks).argmax(-1).ravel())


def _bare(through: Remap | None) -> Sequence[AnyFilter]:
    return [Bare(remap=through)]


def _emas(through: Remap | None) -> Iterator[AnyFilter]:
    return (Ema(tau_s=tau_s, remap=through) for tau_s in TAUS_S)


def _hysteresis(through: Remap | None) -> Iterator[AnyFilter]:
    return (Hysteresis(tau_s=t, margin=m, remap=through) for t, m in itertools.product(TAUS_S, MARGINS))


def _hmms(through: Remap | None, tracks: Sequences) -> Iterator[AnyFilter]:
    share = np.bincount(tracks.labels.ravel(), minlength=N_PROBS) / tracks.labels.size
    priors = (tuple(np.round(share, 4).tolist()), (1 / N_PROBS,) * N_PROBS)
    for prior, dwell_s, trust, renewal_s in itertools.product(priors, DWELLS_S, TRUSTS, RENEWALS_S):
        yield Hmm(dwell_s=dwell_s, trust=trust, renewal_s=renewal_s, prior=prior, remap=through)
