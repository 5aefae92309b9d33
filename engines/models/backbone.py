"""Face networks behind one shape: pictures in, features and expression logits out (paper, section II.B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engines.errors import WrongUse
from engines.models.config import BackboneConfig, FreezePolicy
from engines.models.resnet50 import Vggface2ResNet50
from engines.models.small import SmallNet
from engines.spec import N_PROBS, Normalisation
from engines.zoo.paper import VGGFACE2

_IMAGENET = Normalisation(colour="rgb", layout="nchw", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
_CENTRED = Normalisation(colour="rgb", layout="nchw", mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


class BackboneOutput(NamedTuple):
    """`features` (B,D) and `logits` (B,7)."""

    features: Tensor
    logits: Tensor

    @property
    def probs(self) -> Tensor:
        """(B,7) softmax of the logits: what STAT and the LSTM read."""
        return self.logits.softmax(-1)


class Backbone(nn.Module):
    """A face network with a new 7-class layer. `stages` are its parts from first to last, as freezing counts them.

    `forward` takes pictures (B,3,H,W) as float 0..255, channels in the order of `normalisation.colour`, and
    normalises them itself; `embed` takes them normalised, which is what is exported.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: BackboneConfig,
        trunk: nn.Module,
        n_features: int,
        stages: Sequence[nn.Module],
        form: Normalisation,
    ) -> None:
        super().__init__()
        self.config = config
        self.normalisation = form
        self.n_features = n_features
        self.input_size_px = config.input_size_px
        self.trunk = trunk
        self.classifier = nn.Linear(n_features, N_PROBS)
        self.register_buffer("mean", torch.tensor(form.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(form.std).view(1, 3, 1, 1), persistent=False)
        self._frozen: list[nn.Module] = []
        self._stages = list(stages)
        self.freeze(config.freeze)

    def forward(self, pictures: Tensor) -> BackboneOutput:
        return self.embed((pictures - self.mean) / self.std)

    def embed(self, normalised: Tensor) -> BackboneOutput:
        """Features and logits of pictures that are normalised already."""
        features = self.trunk(normalised)
        return BackboneOutput(features, self.classifier(features))

    def freeze(self, policy: FreezePolicy) -> None:
        """Stop training of all but the classifier and the last stages: one for `paper_text`, two for `paper_code`.

        Raises `WrongUse` when the network has no stages to count.
        """
        kept = {"none": None, "paper_text": 1, "paper_code": 2, "all": 0}[policy]
        if kept and len(self._stages) <= kept:
            raise WrongUse(f"{self.config.name} has {len(self._stages)} stages known here: freeze it `all` or `none`")
        for parameter in self.parameters():
            parameter.requires_grad_(kept is None)
        if kept is None:
            self._frozen = []
            return
        trained = self._stages[len(self._stages) - kept :]
        for module in (*trained, *((self.classifier,) if kept else ())):
            for parameter in module.parameters():
                parameter.requires_grad_(True)
        inside = {id(part) for module in trained for part in module.modules()}
        self._frozen = [part for part in self.trunk.modules() if _is_norm(part) and id(part) not in inside]
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As usual, but the batch norms of frozen stages keep the statistics they came with."""
        super().train(mode)
        for norm in self._frozen:
            norm.eval()
        return self


def build_backbone(config: BackboneConfig) -> Backbone:
    """The network named in `config`, with fresh weights. Raises `WrongUse` for an unknown name."""
    name = config.name
    if name == "resnet50-vggface2":
        resnet = Vggface2ResNet50()
        return Backbone(config, resnet, resnet.n_features, resnet.stages, VGGFACE2)
    if name == "small":
        small = SmallNet()
        return Backbone(config, small, small.n_features, small.stages, _CENTRED)
    if name.startswith("timm:"):
        return _from_timm(config, name.removeprefix("timm:"))
    raise WrongUse(f"no backbone is called {name!r}; there are resnet50-vggface2, small and timm:NAME")


def _from_timm(config: BackboneConfig, name: str) -> Backbone:
    import timm

    if name not in timm.list_models():
        near = ", ".join(timm.list_models(f"*{name}*")[:5]) or "see timm.list_models()"
        raise WrongUse(f"timm has no network {name!r}; near it: {near}")
    trunk = timm.create_model(name, pretrained=False, num_classes=0)
    parts = [child for child in trunk.children() if any(True for _ in child.parameters())]
    # Networks keep their stages in one container or as layer1..layer4; a container is counted by its members.
    stages: list[nn.Module] = []
    for part in parts:
        stages += list(part) if isinstance(part, nn.Sequential | nn.ModuleList) and len(part) > 1 else [part]
    return Backbone(config, trunk, int(trunk.num_features), stages, _IMAGENET)


def _is_norm(part: nn.Module) -> bool:
    return isinstance(part, nn.modules.batchnorm._BatchNorm)
