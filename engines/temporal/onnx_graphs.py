"""The recurrent head and the filters as ONNX, written node by node; the batch is the one dynamic axis."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from engines.spec import N_PROBS, ContextName, HeadSpec, Provenance, StatKind, stat_size
from engines.temporal.filters import LEAD, AnyFilter, Bare, Ema, Hmm, Hysteresis, Remap
from engines.temporal.sequences import CONTEXT, WINDOW
from engines.zoo.convert.graph import OPSET, GraphWriter, serialise, value


def head_spec(
    content: bytes,
    *,
    name: str,
    version: str,
    hidden: int,
    stat: StatKind,
    context: tuple[ContextName, ...],
    provenance: Provenance,
) -> HeadSpec:
    """The description of a head written here."""
    return HeadSpec(
        name=name,
        version=version,
        sha256=hashlib.sha256(content).hexdigest(),
        stat=stat,
        window=WINDOW,
        n_features=0,
        hidden=hidden,
        context=context,
        provenance=provenance,
    )


def filter_onnx(one: AnyFilter) -> bytes:
    """A filter with inputs `probs` (B,7), `context` (B,1: gap_s), `h`, `c` (B,7), and their outputs."""
    graph = _Graph()
    probs = "probs" if one.remap is None else _remapped(graph, one.remap)
    if isinstance(one, Bare):
        graph.node("Identity", [probs], "probs_out")
        graph.node("Identity", ["h"], "h_out")
        # Every input must be read by something for an engine to keep it.
        graph.node("Add", ["c", graph.node("Mul", ["context", graph.number(0.0)], "unread")], "c_out")
    elif isinstance(one, Ema):
        average = _average(graph, probs, "c", one.tau_s)
        graph.node("Identity", [average], "probs_out")
        graph.node("Identity", [average], "h_out")
        _ones(graph, "c_out")
    elif isinstance(one, Hysteresis):
        _hysteresis(graph, probs, one)
    else:
        _hmm(graph, probs, one)
    return graph.closed("filter", {"probs": N_PROBS, "context": 1, "h": N_PROBS, "c": N_PROBS}, N_PROBS)


def context_head_onnx(weights: Mapping[str, NDArray[np.float32]], scaling: Mapping[str, float]) -> bytes:
    """The recurrent head from the arrays of `ContextHead.state_dict()`; `scaling` are the numbers of its module."""
    units = weights["lstm.weight_hh_l0"].shape[1]
    graph = _Graph()
    floored = graph.node("Max", ["probs", graph.number(scaling["smallest_prob"])], "probs/floored")
    log_probs = graph.node("Log", [floored], "probs/log")
    read = graph.node("Concat", [log_probs, "stat", _scaled_context(graph, scaling)], "read", axis=1)
    # torch keeps W_ih (4u,in) and W_hh (4u,u) apart, with a bias each; one product does for both.
    joined = np.concatenate([weights["lstm.weight_ih_l0"], weights["lstm.weight_hh_l0"]], 1)
    seen = graph.node("Concat", [read, "h"], "lstm/seen", axis=1)
    gates = graph.dense(seen, "lstm/gates", joined, weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"])
    graph.lstm_step(gates, units)
    fused = graph.node("Concat", [read, "h_out"], "fused", axis=1)
    first = graph.node(
        "Relu", [graph.dense(fused, "first/raw", weights["first.weight"], weights["first.bias"])], "first"
    )
    second = graph.dense(first, "second", weights["second.weight"], weights["second.bias"])
    skipped = graph.dense(log_probs, "skip", weights["skip.weight"], np.zeros(N_PROBS, np.float32))
    graph.node("Softmax", [graph.node("Add", [second, skipped], "logits")], "probs_out", axis=1)
    sizes = {"probs": N_PROBS, "stat": stat_size("probs", 0), "context": len(CONTEXT), "h": units, "c": units}
    return graph.closed("temporal", sizes, units)


class _Graph(GraphWriter):
    """A graph of rows: every tensor has the batch first."""

    def number(self, number: float) -> str:
        """A constant of one number."""
        return self.row(f"number/{len(self.weights)}", [number])

    def row(self, name: str, numbers: Any) -> str:
        """A constant row, the same for every row of the batch."""
        return self.weight(name, np.atleast_1d(np.asarray(numbers, np.float32)))

    def dense(self, x: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """x @ weight.T + bias."""
        inputs = [x, self.weight(f"{name}/weight", weight), self.weight(f"{name}/bias", bias)]
        return self.node("Gemm", inputs, name, transB=1)

    def reduced(self, op: str, x: str, name: str) -> str:
        """Over each row, to (B,1)."""
        if op == "ReduceSum":  # its axes became an input before those of the others did
            return self.node(op, [x, self.weight(f"{name}/axes", np.array([1], np.int64))], name, keepdims=1)
        return self.node(op, [x], name, axes=[1], keepdims=1)

    def closed(self, name: str, sizes: Mapping[str, int], hidden: int) -> bytes:
        outputs = {"probs_out": N_PROBS, "h_out": hidden, "c_out": hidden}
        graph = helper.make_graph(
            self.nodes,
            name,
            [value(tensor, ["batch", size]) for tensor, size in sizes.items()],
            [value(tensor, ["batch", size]) for tensor, size in outputs.items()],
            initializer=self.weights,
        )
        return serialise(graph, OPSET)


def _scaled_context(graph: _Graph, scaling: Mapping[str, float]) -> str:
    names = [f"context/{name}" for name in CONTEXT]
    ones = graph.weight("context/sizes", np.ones(len(CONTEXT), np.int64))
    graph.nodes.append(helper.make_node("Split", ["context", ones], names, axis=1))
    gap_s, score, face_px, roll_deg, yaw_deg = names
    short = graph.node("Min", [gap_s, graph.number(scaling["longest_gap_s"])], "gap/short")
    gap = graph.node("Log", [graph.node("Add", [short, graph.number(scaling["gap_offset_s"])], "gap/raised")], "gap")
    less = graph.node("Sub", [score, graph.number(scaling["score_middle"])], "score/less")
    scaled_score = graph.node("Mul", [less, graph.number(scaling["score_scale"])], "score")
    large = graph.node("Max", [face_px, graph.number(scaling["smallest_face_px"])], "size/large")
    size = graph.node("Log", [graph.node("Div", [large, graph.number(scaling["usual_face_px"])], "size/share")], "size")
    roll = graph.node("Mul", [roll_deg, graph.number(scaling["angle_scale"])], "roll")
    yaw = graph.node("Mul", [yaw_deg, graph.number(scaling["angle_scale"])], "yaw")
    parts = [gap, scaled_score, size, roll, yaw]
    parts += [graph.node("Abs", [roll], "roll/size"), graph.node("Abs", [yaw], "yaw/size")]
    return graph.node("Concat", parts, "context/scaled", axis=1)


def _remapped(graph: _Graph, remap: Remap) -> str:
    floored = graph.node("Max", ["probs", graph.number(1e-6)], "remap/floored")
    log_probs = graph.node("Log", [floored], "remap/log")
    weights, bias = np.asarray(remap.weights, np.float32), np.asarray(remap.bias, np.float32)
    return graph.node("Softmax", [graph.dense(log_probs, "remap/logits", weights, bias)], "remap", axis=1)


def _decayed(graph: _Graph, time_s: float, name: str) -> str:
    """exp(-gap / time), (B,1)."""
    ratio = graph.node("Div", ["context", graph.number(-time_s)], f"{name}/ratio")
    return graph.node("Exp", [ratio], name)


def _average(graph: _Graph, probs: str, begun: str, tau_s: float) -> str:
    kept = graph.node("Mul", [begun, _decayed(graph, tau_s, "ema/decay")], "ema/kept")
    past = graph.node("Mul", [kept, graph.node("Sub", ["h", probs], "ema/past")], "ema/moved")
    return graph.node("Add", [probs, past], "ema")


def _ones(graph: _Graph, name: str) -> None:
    graph.node("Add", [graph.node("Mul", ["c", graph.number(0.0)], f"{name}/zero"), graph.number(1.0)], name)


def _hysteresis(graph: _Graph, probs: str, one: Hysteresis) -> None:
    begun = graph.reduced("ReduceSum", "c", "begun")
    average = _average(graph, probs, begun, one.tau_s)
    graph.node("Identity", [average], "h_out")
    highest = graph.reduced("ReduceMax", average, "highest")
    held = graph.reduced("ReduceSum", graph.node("Mul", ["c", average], "held/part"), "held")
    bar = graph.node("Add", [held, graph.node("Mul", [begun, graph.number(one.margin)], "margin")], "bar")
    changes = graph.node("Greater", [highest, bar], "changes")
    best = graph.node("ArgMax", [average], "best", axis=1, keepdims=0)
    depth = graph.weight("labels", np.array(N_PROBS, np.int64))
    off_on = graph.row("off_on", [0.0, 1.0])
    leading = graph.node("OneHot", [best, depth, off_on], "leading", axis=1)
    label = graph.node("Where", [changes, leading, "c"], "c_out")
    own = graph.reduced("ReduceSum", graph.node("Mul", [label, average], "own/part"), "own")
    behind = graph.node("Sub", [highest, own], "behind")
    lift = graph.node("Mul", [label, graph.node("Add", [behind, graph.number(float(LEAD))], "lift")], "lift/row")
    _normalised(graph, graph.node("Add", [average, lift], "lifted"))


def _hmm(graph: _Graph, probs: str, one: Hmm) -> None:
    prior = graph.row("prior", one.prior)
    stays = graph.node("Mul", ["c", _decayed(graph, one.dwell_s, "dwell")], "stays")
    past = graph.node("Mul", [stays, graph.node("Sub", ["h", prior], "past")], "past/kept")
    expected = graph.node("Add", [past, prior], "expected")
    share = graph.node(
        "Min", [graph.node("Div", ["context", graph.number(one.renewal_s)], "age"), graph.number(1.0)], "new"
    )
    fresh = graph.node("Mul", [share, graph.number(one.trust)], "fresh")
    more = graph.node("Sub", [fresh, graph.number(one.first_trust)], "more")
    power = graph.node("Add", [graph.node("Mul", ["c", more], "more/own"), graph.number(one.first_trust)], "power")
    floored = graph.node("Max", [probs, graph.number(1e-6)], "floored")
    log_prior = graph.row("prior/log", np.log(np.asarray(one.prior, np.float32)))
    speaks = graph.node("Sub", [graph.node("Log", [floored], "log"), log_prior], "speaks")
    less = graph.node("Sub", [speaks, graph.reduced("ReduceMax", speaks, "loudest")], "less")
    odds = graph.node("Exp", [graph.node("Mul", [power, less], "weighed")], "odds")
    answer = _normalised(graph, graph.node("Mul", [expected, odds], "posterior"))
    graph.node("Identity", [answer], "h_out")
    _ones(graph, "c_out")


def _normalised(graph: _Graph, x: str) -> str:
    return graph.node("Div", [x, graph.reduced("ReduceSum", x, f"{x}/sum")], "probs_out")
