"""A written network against the torch module it came from, in the engine that will run it, on made-up inputs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from engines.errors import EngineError
from engines.models import AffectHead, Backbone
from engines.runtime import open_head, open_runner
from engines.runtime.invariance import random_pictures
from engines.runtime.offline import Sequence, run_head
from engines.runtime.protocol import FloatArray
from engines.spec import N_PROBS, HeadSpec, ModelSpec
from engines.zoo import LoadedModel

TOLERANCE = 2e-5
"""Times the output's largest value where that is above 1: what another order of summing can make of fp32."""
_N_PICTURES, _N_STEPS = 5, 21


def prove_backbone(backbone: Backbone, spec: ModelSpec, path: Path) -> dict[str, float]:
    """The largest difference of each output over random pictures. Raises `EngineError` where it is above TOLERANCE."""
    crop = spec.crop
    assert crop is not None, "an exported backbone has a crop"
    pictures = random_pictures(_N_PICTURES, crop.height, crop.width, seed=11)
    was_training = backbone.training
    with torch.no_grad():
        # The channels are already in the network's order: both sides are given the same numbers.
        output = backbone.eval()(torch.from_numpy(np.asarray(pictures, np.float32)).permute(0, 3, 1, 2))
    backbone.train(was_training)
    with tempfile.TemporaryDirectory() as cache:
        runner = open_runner(LoadedModel(spec, path), precision="fp32", cache=Path(cache))
        answered = runner.infer({"image": pictures})
        wanted = {"features": output.features.numpy(), "logits": output.logits.numpy()}
        found = _differences(wanted, answered, path)
        runner.close()
    return found


def prove_head(head: AffectHead, spec: HeadSpec, path: Path, temperature: float) -> dict[str, float]:
    """The same for a head over one made-up track, (h, c) carried from step to step."""
    random = np.random.default_rng(12)
    features = random.random((_N_STEPS, head.n_features), np.float32)
    probs = random.dirichlet(np.full(N_PROBS, 0.5), _N_STEPS).astype(np.float32)
    was_training = head.training
    with torch.no_grad():
        whole = head.eval().forward_sequence(torch.from_numpy(features)[None], torch.from_numpy(probs)[None])
    head.train(was_training)
    wanted = {"probs": (whole.logits[0] / temperature).softmax(-1).numpy()}
    if whole.valence is not None and whole.arousal is not None:
        wanted |= {"valence": whole.valence[0].numpy(), "arousal": whole.arousal[0].numpy()}
    with tempfile.TemporaryDirectory() as cache:
        runner = open_head(path, spec, precision="fp32", batches=(1, 8), cache=Path(cache))
        answered = run_head(runner, spec, Sequence(features, probs))
        found = _differences(wanted, answered, path)
        if whole.h is not None and whole.c is not None:
            last = {"h": answered["h"][-1:], "c": answered["c"][-1:]}
            found |= _differences({"h": whole.h.numpy(), "c": whole.c.numpy()}, last, path)
        runner.close()
    return {f"head/{name}": difference for name, difference in found.items()}


def _differences(wanted: dict[str, FloatArray], answered: dict[str, FloatArray], path: Path) -> dict[str, float]:
    found = {}
    for name, values in wanted.items():
        difference = float(np.abs(answered[name].astype(np.float64) - values).max())
        scale = max(1.0, float(np.abs(values).max()))
        if not difference <= TOLERANCE * scale:
            raise EngineError(
                f"{path.name} was refused: its `{name}` differs from torch's by {difference:.2g}, more than "
                f"{TOLERANCE * scale:.2g}; this network does not survive the conversion"
            )
        found[name] = difference
    return found
