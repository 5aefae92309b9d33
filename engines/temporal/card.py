"""The model card of the temporal head and the folder it is shipped in."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from engines.temporal.deciding import table_markdown
from engines.temporal.filters import Ema, Hysteresis
from engines.temporal.making import NAME, load_made, write_filter
from engines.temporal.table import Table
from engines.zoo.cache import write_atomically
from engines.zoo.heads import load_head

JUDGED_TABLE = Path(__file__).parent / "judged_table.json"
JUDGED_FILTERS = Path(__file__).parent / "judged_filters.json"
"""The table that decided, and the settings and filters it is about: what `ship` was last given."""

_CARD = """# The temporal head `{name}` ({model_id})

What it is: a forward LSTM of {units} units and two dense layers, {size} kB, that reads a track's probabilities as they
come and answers better ones. It carries (h, c) from observation to observation and looks at nothing that comes later.
It is made for the calibrated probabilities of the expression model `{backbone}` and refused with any other.

It reads the temperature-scaled log-probs (7), STAT of the probs over the last {window} observations (21), the seconds
since the track's last observation, the detector's score, the face's size in px, and the roll and yaw proxies. No
features: a simulator cannot make them. It gives no valence and arousal: nobody's ratings were there to learn them from,
so records derive them from its probabilities and say `derived`. Records carry the network's own answer beside (`bare`).

How it was made:

    engines temporal train --config configs/temporal.yaml --out OUT
    engines temporal judge OUT --out OUT/table.json
    engines temporal ship OUT --out engines/zoo/shipped

Training data: simulated tracks of a face (`engines/temporal/simulator.py`), none of them of a labelled person. Noise is
correlated in time: a bias for every person and expression, Ornstein-Uhlenbeck noise or blocks of residual tracks of the
real network on three public clips, episodes of turned or covered faces of 0.5 to 3 s, 5 to 30 observations a second,
missing ones and gaps. How the network confuses expressions is a guess (`engines/temporal/confusion.py`) held to the two
figures published of it, 0.67 accuracy and 0.55 macro-F1 on 269 photographs. The settings were chosen after one earlier,
shorter run with other class weights had been looked at on both judges below.

What its limits are:

- The first table is of simulated tracks: it says how the head does where its picture of the noise is wrong in known
  ways (other dwell times, rates, correlation, family of noise and confusion), not how it does on people.
- The second is of real footage and the real network, but of four faces and two expressions, Neutral and Happy; half of
  it is degraded on purpose. Its macro-F1 counts every expression that is ever answered, so that one wrong frame of a
  third expression weighs much: read accuracy and likelihood there.
- Where faces are large, frontal and well lit, the network hardly flickers and there is little to gain.
- Disgust and Fear stay weak: what a network cannot tell apart on one frame, time does not tell apart.
- `remapped` rows do to single frames what the head may do without looking at time: what it has over them is time.

`--head none` turns it off; `ema` and `ema-hysteresis` are the plain filters of the table, for any expression model.

{table}"""


def ship(folder: Path, out: Path) -> None:
    """Copy the head from `folder` into `out` with its card, and write the plain filters as heads beside it.

    `folder` holds what `engines temporal train` and `judge --out table.json` wrote. Raises `BadData` without filters,
    and what `load_head` raises.
    """
    made = load_made(folder)
    table = msgspec.json.decode((folder / "table.json").read_bytes(), type=Table)
    spec, network = load_head(folder / f"{NAME}.json")
    out.mkdir(parents=True, exist_ok=True)
    for path in (network, network.with_suffix(".json")):
        shutil.copyfile(path, out / path.name)
    card = _CARD.format(
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
    for one in made.filters:
        if isinstance(one, Ema | Hysteresis) and one.remap is None:
            write_filter(one, out / f"{one.name}.onnx")
