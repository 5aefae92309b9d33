"""Exported toys, written once a session however many folders of tests ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from engines.models import Backbone, sha256_of_weights
from engines.shipping import export as exporting
from engines.shipping.backbone_onnx import OPSET, backbone_onnx
from engines.shipping.export import box_crop, export_model
from engines.shipping.metadata import About
from engines.spec import Calibration, Provenance
from engines.zoo.convert.graph import parsed, serialise
from tests.engines import toys

Exports = Callable[[str], Path]
TEMPERATURE = 1.7
_WRITTEN: dict[str, Path] = {}
_GRAPHS: dict[str, bytes] = {}


def about(name: str) -> About:
    provenance = Provenance(licence="CC0", origin="made up here", trained_on="toy pictures")
    return About(name, "2", provenance, "toy annotations", {"accuracy": 0.97})


def written_once(backbone: Backbone, metadata: Mapping[str, str]) -> bytes:
    """All toys have one backbone, and torch's exporter takes seconds: its graph is used again with other metadata."""
    key = sha256_of_weights(backbone)
    if key not in _GRAPHS:
        _GRAPHS[key] = backbone_onnx(backbone, {})
    return serialise(parsed(_GRAPHS[key]).graph, OPSET, metadata)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The folder of a toy by its kind. It is shared: copy it before changing anything."""

    def exported(kind: str) -> Path:
        if kind not in _WRITTEN:
            model = toys.trained(kind)
            head = None if kind == "backbone" else model.head
            folder = tmp_path_factory.mktemp("exports") / kind
            told = Calibration(temperature=TEMPERATURE, fitted="by hand")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(exporting, "backbone_onnx", written_once)
                export_model(model.backbone, head, folder, about(f"toy-{kind}"), crop=box_crop(32), calibration=told)
            _WRITTEN[kind] = folder
        return _WRITTEN[kind]

    return exported
