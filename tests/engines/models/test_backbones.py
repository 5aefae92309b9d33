import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engines.errors import WrongUse, WrongWeights
from engines.models import BackboneConfig, FreezePolicy, build_backbone, load_backbone_weights
from engines.models.backbone import Backbone
from engines.spec import EXPRESSIONS


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    torch.manual_seed(1)
    backbone = build_backbone(BackboneConfig()).eval()
    for norm in backbone.modules():  # fresh norms would hide a wrong order of layers
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.0)
    return backbone


def caffe_names(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the converted Oxford release for our own."""
    places = {"1": "1x1_reduce", "2": "3x3", "3": "1x1_increase"}
    renamed = {}
    for name, value in trunk.items():
        kind, rest = name.rsplit(".", 1)
        if kind in ("conv1", "bn1"):
            new = "conv1_7x7_s2" + ("_bn" if kind == "bn1" else "")
        else:
            stage, block, part, *which = kind.split(".")
            place = "1x1_proj" if part == "downsample" else places[part[-1]]
            norm = which == ["1"] or part.startswith("bn")
            new = f"conv{int(stage[-1]) + 1}_{int(block) + 1}_{place}{'_bn' if norm else ''}"
        renamed[f"{new}.{rest}"] = value
    return renamed


def test_it_is_the_network_of_the_release(resnet: Backbone) -> None:
    n = sum(parameter.numel() for parameter in resnet.trunk.parameters())
    assert n == 23_508_032  # ResNet50 without its last layer
    assert resnet.n_features == 2048
    trunk: Any = resnet.trunk
    block = trunk.layer2[0]
    assert block.conv1.stride == (2, 2)
    assert block.conv2.stride == (1, 1)
    out = resnet(torch.zeros(1, 3, 224, 224))
    assert out.features.shape == (1, 2048)
    assert out.logits.shape == (1, 7)
    assert trunk.maxpool(torch.zeros(1, 1, 112, 112)).shape[-1] == 56


def test_pictures_are_normalised_inside(resnet: Backbone) -> None:
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 255
    mean = torch.tensor([91.4953, 103.8827, 131.0912]).view(1, 3, 1, 1)
    with torch.no_grad():
        assert torch.equal(resnet(pictures).logits, resnet.embed(pictures - mean).logits)
    assert resnet.normalisation.colour == "bgr"


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "module", "caffe", "pickled"])
def test_public_layouts_are_read(wrapped: str, resnet: Backbone, tmp_path: Path) -> None:
    trunk = {name: value.clone() for name, value in resnet.trunk.state_dict().items()}
    fc = {"fc.weight": torch.randn(8631, 2048), "fc.bias": torch.randn(8631)}
    path = tmp_path / "weights.pth"
    if wrapped == "plain":
        torch.save(trunk | fc, path)
    elif wrapped == "state_dict":
        torch.save({"state_dict": trunk | fc, "epoch": 3}, path)
    elif wrapped == "module":
        torch.save({f"module.{name}": value for name, value in (trunk | fc).items()}, path)
    elif wrapped == "caffe":
        classifier = {"classifier.weight": torch.randn(8631, 2048, 1, 1), "classifier.bias": torch.randn(8631)}
        torch.save(caffe_names(trunk) | classifier, path)
    else:
        path.write_bytes(pickle.dumps({name: value.numpy() for name, value in (trunk | fc).items()}))
    other = build_backbone(BackboneConfig()).eval()
    report = load_backbone_weights(other, path)
    assert report.classifier == "dropped"
    assert report.layout == ("caffe_names" if wrapped == "caffe" else "torchvision")
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 255
    with torch.no_grad():
        assert torch.equal(other(x).features, resnet(x).features)


def test_older_files_without_counters_of_batches_are_read(resnet: Backbone, tmp_path: Path) -> None:
    trunk = {
        name: value for name, value in resnet.trunk.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    torch.save(trunk, tmp_path / "w.pt")
    assert load_backbone_weights(build_backbone(BackboneConfig()), tmp_path / "w.pt").classifier == "absent"


def small() -> Backbone:
    return build_backbone(BackboneConfig(name="small", input_size_px=32))


def test_a_layer_of_seven_is_taken_in_our_order(tmp_path: Path) -> None:
    source, target = small(), small()
    order = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
    weight = torch.arange(7.0)[:, None].expand(7, 128).clone()
    torch.save({**source.trunk.state_dict(), "fc.weight": weight, "fc.bias": torch.arange(7.0)}, tmp_path / "w.pt")
    assert load_backbone_weights(target, tmp_path / "w.pt", class_order=order).classifier == "taken"
    assert target.classifier.bias.tolist() == [order.index(name) for name in EXPRESSIONS]


def test_a_class_order_that_is_no_permutation_is_wrong_use(tmp_path: Path) -> None:
    torch.save(small().trunk.state_dict(), tmp_path / "w.pt")
    with pytest.raises(WrongUse, match="once each"):
        load_backbone_weights(small(), tmp_path / "w.pt", class_order=("Happy",) * 7)


def test_a_class_order_for_a_layer_of_eight_is_refused(tmp_path: Path) -> None:
    torch.save(
        {**small().trunk.state_dict(), "fc.weight": torch.zeros(8, 128), "fc.bias": torch.zeros(8)}, tmp_path / "w.pt"
    )
    with pytest.raises(WrongWeights, match=re.escape("the file has (8, 128)")):
        load_backbone_weights(small(), tmp_path / "w.pt", class_order=EXPRESSIONS)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.pop("stem.0.weight"), r"lacks 1 of \d+ tensors: stem.0.weight"),
        (lambda d: d.update({"extra.weight": torch.zeros(1)}), "1 tensors too many: extra.weight"),
        (lambda d: d.update({"stem.0.weight": torch.zeros(1)}), r"another shape: stem.0.weight \(1,\)"),
        (lambda d: d["stem.0.weight"].fill_(float("nan")), "not finite"),
        (lambda d: d.update({"stem.0.weight": 3}), "no named tensor"),
        (lambda d: d.clear(), "no state dict"),
    ],
)
def test_a_wrong_or_partial_file_is_refused_and_changes_nothing(
    damage: Callable[[dict[str, Any]], object], told: str, tmp_path: Path
) -> None:
    backbone = small()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    plain = {name: value.clone() for name, value in small().trunk.state_dict().items()}
    damage(plain)
    torch.save(plain, tmp_path / "w.pt")
    with pytest.raises(WrongWeights, match=told):
        load_backbone_weights(backbone, tmp_path / "w.pt")
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


class _Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("pwned"),)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.pkl").write_bytes(pickle.dumps({"conv1.weight": _Malicious()}))
    with pytest.raises(WrongWeights, match=r"Path.*|getattr.* is not admitted"):
        load_backbone_weights(small(), Path("w.pkl"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x04."])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WrongWeights):
        load_backbone_weights(small(), tmp_path / "w.pt")
    with pytest.raises(WrongWeights, match="cannot be read"):
        load_backbone_weights(small(), tmp_path / "none.pt")


def trainable(name: str, policy: FreezePolicy) -> set[str]:
    backbone = build_backbone(BackboneConfig(name=name, input_size_px=64, freeze=policy))
    names = [key for key, parameter in backbone.named_parameters() if parameter.requires_grad]
    return {".".join(key.split(".")[:2]) for key in names}


def test_the_paper_freezes_by_text_or_by_code() -> None:
    classifier = {"classifier.weight", "classifier.bias"}
    assert trainable("resnet50-vggface2", "paper_text") == {"trunk.layer4"} | classifier
    assert trainable("resnet50-vggface2", "paper_code") == {"trunk.layer3", "trunk.layer4"} | classifier
    assert trainable("small", "all") == set()
    assert trainable("small", "paper_text") == {"trunk.high"} | classifier
    assert len(trainable("small", "none")) == 6


def test_norms_of_frozen_stages_keep_their_statistics() -> None:
    backbone = build_backbone(BackboneConfig(name="small", input_size_px=32, freeze="paper_text")).train()
    trunk: Any = backbone.trunk
    frozen, free = trunk.stem[1], trunk.high[0][1]
    before = frozen.running_mean.clone(), free.running_mean.clone()
    backbone(torch.rand(4, 3, 32, 32) * 255)
    assert torch.equal(frozen.running_mean, before[0])
    assert not torch.equal(free.running_mean, before[1])


def test_any_network_of_timm_by_name() -> None:
    backbone = build_backbone(BackboneConfig(name="timm:resnet10t", input_size_px=64, freeze="paper_text")).eval()
    assert backbone(torch.zeros(1, 3, 64, 64)).features.shape == (1, backbone.n_features)
    trained = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(name.startswith(("trunk.layer4", "classifier")) for name in trained)


@pytest.mark.parametrize("name", ["resnet51", "timm:no_such_net"])
def test_an_unknown_backbone_is_wrong_use(name: str) -> None:
    with pytest.raises(WrongUse):
        build_backbone(BackboneConfig(name=name, input_size_px=64))
