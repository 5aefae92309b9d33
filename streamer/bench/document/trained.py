"""What the experiments of `engines` gave, which are kept beside the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from streamer.bench.document.charts import bars
from streamer.bench.document.markdown import Result, number, percent, table

_MODELS: Mapping[str, str] = {
    "1": "model 1, the single picture",
    "2": "model 2, the single picture with valence and arousal",
    "EMA": "an EMA of model 2, tuned on validation",
    "3": "model 3, STAT",
    "4": "model 4, STAT with valence and arousal",
    "5": "model 5, STAT and LSTM",
    "6": "model 6, STAT and LSTM with valence and arousal",
    "Fusion": "Fusion, the average of the six",
}
_ORDERS = ("in_time", "shuffled")


def paper(result: Result) -> str:
    """The challenge's score with frames in time and shuffled, and the differences of models."""
    rows = []
    for key, name in _MODELS.items():
        rows.append((name, *(_mean(result["rows"][order][key]["challenge"]) for order in _ORDERS)))
    for key in result["differences"]["in_time"]:
        name = f"model {key}".replace("- EMA", "- the EMA")
        differences = (result["differences"][order].get(key) for order in _ORDERS)
        rows.append((name, *("" if one is None else _mean(one["challenge"], sign="+") for one in differences)))
    return table(("challenge's score", "frames in time", "frames of each video shuffled"), rows)


def paper_chart(result: Result) -> str:
    """The scores as bars."""
    rows = [
        (name.partition(",")[0], [result["rows"][order][key]["challenge"]["mean"] for order in _ORDERS])
        for key, name in _MODELS.items()
    ]
    return bars("The challenge's score on drawn faces", rows, series=("frames in time", "shuffled"), digits=3)


def resnet50(result: Result) -> str:
    """Each comparison: features, and labels that are equal where the margin is at least 0.1."""
    head = ("", "features, signal to noise", "labels equal where the margin is at least 0.1", "asked")
    rows = []
    for one, against in _compared(result):
        features = next(output for output in one["outputs"] if output["name"] == "features")
        labels = one["labels"][-1]
        rows.append(
            (
                f"{one['candidate']} against {against}",
                f"{number(features['snr_db'], 1)} dB",
                f"{percent(labels['agreement'])} of {labels['n_clear']}",
                percent(labels["least"], 0),
            )
        )
    return table(head, rows)


def resnet50_chart(result: Result) -> str:
    """Signal to noise of features."""
    rows = []
    for one, against in _compared(result):
        features = next(output for output in one["outputs"] if output["name"] == "features")
        rows.append((f"{one['candidate']} against {against}", [features["snr_db"]]))
    return bars("Features, signal to noise in dB", rows, digits=1)


def _compared(result: Result) -> list[tuple[Result, str]]:
    pairs = [(one, "torch") for one in result["against_torch"]]
    return pairs + [(one, "fp32") for one in result["against_fp32"]]


def _mean(one: Result, sign: str = "") -> str:
    return f"{one['mean']:{sign}.3f} ± {one['se']:.3f}"
