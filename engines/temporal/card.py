"""The model card of the temporal head and the folder it is shipped in."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import msgspec

from engines.temporal.deciding import HEAD_ROW, table_markdown
from engines.temporal.filters import Ema, Hysteresis
from engines.temporal.making import NAME, Made, load_made, write_filter
from engines.temporal.table import Table
from engines.zoo.cache import write_atomically
from engines.zoo.heads import load_head

JUDGED_TABLE = Path(__file__).parent / "judged_table.json"
JUDGED_FILTERS = Path(__file__).parent / "judged_filters.json"
"""The table that decided, and the settings and filters it is about: what `ship` was last given."""

_CARD = """# The temporal head `{name}` ({model_id})

{decision}

What it is: a forward LSTM of {units} units and two dense layers, {size} kB, that reads a track's probabilities as they
come and answers better ones. It carries (h, c) from observation to observation and looks at nothing that comes later.
It is made for the calibrated probabilities of the expression model `{backbone}` and refused with any other.

It reads the temperature-scaled log-probs (7), STAT of the probs over the last {window} observations (21), the seconds
since the track's last observation, the detector's score, the face's size in px, and the roll and yaw proxies. No
features: a simulator cannot make them. It gives no valence and arousal: nobody's ratings were there to learn them from,
so records derive them from its probabilities and say `derived`. Records carry the network's own answer beside (`bare`).

How it was made:

    engines temporal train --config configs/temporal/head.yaml --out OUT
    engines temporal judge OUT --out OUT/table.json
    engines temporal ship OUT --out engines/zoo/shipped

Training data: simulated tracks of a face (`engines/temporal/simulator.py`), none of them of a labelled person. Noise is
correlated in time: a bias for every person and expression, Ornstein-Uhlenbeck noise or blocks of residual tracks of the
real network on three public clips, episodes of turned or covered faces of 0.5 to 3 s, 5 to 30 observations a second,
missing ones and gaps. How the network confuses expressions is a guess (`engines/temporal/confusion.py`) held to the two
figures published of it, 0.67 accuracy and 0.55 macro-F1 on 269 photographs.

Three earlier trainings were looked at on the judges before this one: a very short one (on the first judge alone, whose
confusion was then made to differ more), a shorter one with other class weights, and one on a simulator whose tracks
began with rare expressions as often as with common ones. Its answers at the beginning of real tracks gave that away;
the simulator was put right and the expressions made as frequent as among photographs. The rule under "What decides" was
written before this head was judged, and applies to each of the two judges by itself.

What its limits are:

- The first table is of simulated tracks: it says how an answer does where the training simulator is wrong in known
  ways (other dwell times, rates, correlation, family of noise and confusion), not how it does on people.
- The second is of real footage and the real network, but of four faces and two expressions, Neutral and Happy; most of
  its stretches are degraded on purpose, and a splice changes the person with the expression. Its macro-F1 counts every
  expression that is ever answered, so that a few wrong frames of a third expression weigh much: read accuracy and
  likelihood there too.
- Rows that differ by less than two standard errors are not told apart: that is so for the best of the filters among
  themselves. Sets are the same for all rows, so their differences are surer than each figure.
- Where faces are large, frontal and well lit, the network hardly flickers and there is little to gain.
- Disgust and Fear stay weak: what a network cannot tell apart on one frame, time does not tell apart.
- `remapped` rows map the probabilities of single frames, fitted on the training simulator, before the filter: what the
  head knows without looking at time. What it has over them is time.

{table}"""

_WON = "It is the default head of `{backbone}`: it did all that is asked of it below."
_LOST = (
    "It is not the default head of `{backbone}`: it did not do all that is asked of it below ({failed}). The default "
    "is the filter that is best on simulated tracks without a guess of how the network errs, `{default}`. "
    "`--head {name}` takes this one."
)
_FILTER_CARD = """# The filter `{name}` ({model_id})

{settings}.

A plain filter written as a head: it carries its average and the label it holds (or 1 once there is a past) from
observation to observation, and weighs by the seconds between them. {remap}Tuned on the training simulator by the
challenge's score, judged beside the others in `temporal.md`. Made with `engines temporal train` and `ship`.
"""
_REMAPPED = """Before it the probabilities of each frame go through softmax(W log p + b), W and b
fitted on the training simulator, whose picture of how `{backbone}` confuses expressions is a guess held to two
published figures; with any other expression model it is refused. """


def ship(folder: Path, out: Path) -> None:
    """Copy the head from `folder` into `out` with its card, and write the averaging filters as heads beside it.

    `folder` holds what `engines temporal train` and `judge --out table.json` wrote. Raises `BadData` without filters,
    and what `load_head` raises.
    """
    made = load_made(folder)
    table = msgspec.json.decode((folder / "table.json").read_bytes(), type=Table)
    spec, network = load_head(folder / f"{NAME}.json")
    out.mkdir(parents=True, exist_ok=True)
    for path in (network, network.with_suffix(".json")):
        shutil.copyfile(path, out / path.name)
    won = table.verdict.default == HEAD_ROW
    failed = "; ".join(f"{one.where}, {one.what}: {one.found}" for one in table.verdict.conditions if not one.holds)
    decision = (_WON if won else _LOST).format(
        name=NAME, backbone=spec.backbone, failed=failed, default=file_name(table.verdict.default)
    )
    card = _CARD.format(
        decision=textwrap.fill(decision, 120, break_on_hyphens=False),
        name=NAME,
        model_id=spec.model_id,
        units=spec.hidden,
        size=round(network.stat().st_size / 1000),
        backbone=spec.backbone,
        window=spec.window,
        table=table_markdown(table),
    )
    write_atomically(out / f"{NAME}.md", card.encode())
    shutil.copyfile(folder / "table.json", JUDGED_TABLE)
    shutil.copyfile(folder / "filters.json", JUDGED_FILTERS)
    for one in shipped_filters(made):
        path = out / f"{file_name(one.name)}.onnx"
        described = write_filter(one, path)
        assert described.provenance is not None
        text = _FILTER_CARD.format(
            name=described.name,
            model_id=described.model_id,
            settings=described.provenance.notes.rstrip("."),
            remap=_REMAPPED.format(backbone=described.backbone) if one.remap else "",
        )
        write_atomically(path.with_suffix(".md"), text.encode())


def shipped_filters(made: Made) -> list[Ema | Hysteresis]:
    """The filters that are heads of the package: the averages without the remap, for any expression model, and the
    one with hysteresis behind it."""
    averages = [one for one in made.filters if isinstance(one, Ema | Hysteresis)]
    return [one for one in averages if one.remap is None or isinstance(one, Hysteresis)]


def file_name(row: str) -> str:
    """What a filter's row is called as a head."""
    return row.replace(", ", "-")
