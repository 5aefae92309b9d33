"""A backbone in torch to ONNX: plain convolutions, batch norms folded in, the batch the only dynamic axis.

The network takes pictures that are normalised already (`Backbone.embed`): the runners do that inside the engine.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engines.errors import WrongUse
from engines.models import Backbone
from engines.spec import N_PROBS
from engines.zoo.convert.graph import serialise, value

OPSET = 18


class _Embedding(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self.backbone.embed(image)
        return output.features, output.logits


def backbone_onnx(backbone: Backbone, metadata: Mapping[str, str]) -> bytes:
    """ONNX with `image` (batch,3,H,W) in, `features` (batch,D) and `logits` (batch,7) out. Same weights, same bytes.

    Raises `WrongUse` for a network that cannot be written so.
    """
    network = _Embedding(copy.deepcopy(backbone).cpu().float()).eval()
    side = backbone.input_size_px
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (torch.zeros(2, 3, side, side),),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["features", "logits"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                external_data=False,
                verbose=False,
            )
            assert program is not None, "the exporter gives a program when dynamo is on"
            exported = program.model_proto
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise WrongUse(f"{backbone.config.name} cannot be written as ONNX: {_cause(error)}") from error
    graph = _plain(exported.graph, backbone.config.name)
    del graph.input[:], graph.output[:]
    graph.input.append(value("image", ["batch", 3, side, side]))
    graph.output.append(value("features", ["batch", backbone.n_features]))
    graph.output.append(value("logits", ["batch", N_PROBS]))
    return serialise(graph, OPSET, metadata)


def _cause(error: BaseException) -> str:
    """The first line of what was at the bottom of it; the exporter's own text is a page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _plain(graph: Any, name: str) -> Any:
    """Without the exporter's traces of source files, and with names that do not count what it did before."""
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        raise WrongUse(f"{name} has branches or loops that depend on the picture; such a network cannot be exported")
    kept = {entry.name for entry in (*graph.input, *graph.output)}
    names: dict[str, str] = {}
    for i, weight in enumerate(graph.initializer):
        parameter = weight.name.startswith("backbone.")
        names[weight.name] = weight.name.removeprefix("backbone.") if parameter else f"constant_{i}"
        weight.name = names[weight.name]
        weight.doc_string = ""
        del weight.metadata_props[:]
    for i, node in enumerate(graph.node):
        for j, output in enumerate(node.output):
            if output and output not in kept:
                names[output] = f"{node.op_type.lower()}_{i}" + (f"_{j}" if j else "")
    for node in graph.node:
        node.input[:] = [names.get(one, one) for one in node.input]
        node.output[:] = [names.get(one, one) for one in node.output]
        node.name = node.output[0]
        node.doc_string = ""
        del node.metadata_props[:]
    graph.name = name
    graph.doc_string = ""
    del graph.value_info[:], graph.metadata_props[:]
    return graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns and prints about its own inner workings; what it refuses comes as an exception."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
