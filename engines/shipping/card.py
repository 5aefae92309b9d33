"""The model card that goes with an exported model."""

from __future__ import annotations

from engines.shipping.metadata import About
from engines.spec import EXPRESSIONS, Calibration, HeadSpec, ModelSpec

_NOT_FOR = """\
## What it is not for

It says what a face shows, not what a person feels. Do not decide about people by it: not in hiring, policing,
schooling, insurance or medicine, and not to tell lies from truth. Its errors by age, sex, skin colour and culture are
as unknown as the figures above leave them. Emotion recognition at work and in schools is forbidden in some places."""


def card_text(spec: ModelSpec, head: HeadSpec | None, about: About, calibration: Calibration) -> str:
    """The card in Markdown: licence, training data, figures, inputs and outputs, and what the model is not for."""
    told = about.provenance
    parts = [
        f"# {spec.name} {spec.version}",
        f"Expressions ({', '.join(EXPRESSIONS)}) of a face{_past(head)}.",
        _table(
            {
                "model": " + ".join([spec.model_id, *([head.model_id] if head else [])]),
                "licence": told.licence,
                "origin": told.origin,
                "trained on": told.trained_on,
                "valence and arousal": _valence_arousal(head, about),
                "input": _crop(spec),
                "features": str(spec.n_features),
                "calibration": calibration.fitted,
                "temperature": f"{calibration.temperature:.4g}",
            }
        ),
        told.notes,
        "## Figures\n\n" + _figures(about),
        _NOT_FOR,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _past(head: HeadSpec | None) -> str:
    if head is None:
        return ", from one picture"
    if head.hidden:
        return ", from everything its track has shown so far"
    return f", from the last {head.window} pictures of its track" if head.window > 1 else ", from one picture"


def _valence_arousal(head: HeadSpec | None, about: About) -> str:
    if about.valence_arousal_trained_on:
        return f"predicted; trained on {about.valence_arousal_trained_on}"
    return "no human annotations behind them: called derived" if head else "derived from the expressions"


def _crop(spec: ModelSpec) -> str:
    crop = spec.crop
    assert crop is not None, "an exported backbone has a crop"
    widened = f", widened by {crop.margin:g} of its side" if crop.margin else ""
    how = f"the face's box{widened}" if crop.kind == "box" else "aligned by five points"
    return f"{crop.width}x{crop.height} px, {spec.normalisation.colour.upper()}, {how}"


def _figures(about: About) -> str:
    if not about.figures:
        return "None are known for these weights."
    return _table({name: f"{value:.4g}" for name, value in about.figures.items()})


def _table(rows: dict[str, str]) -> str:
    lines = [f"| {name} | {text.replace('|', '/')} |" for name, text in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])
