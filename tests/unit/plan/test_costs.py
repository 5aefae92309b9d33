from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import UsageError
from streamer.plan.costs import read_costs, write_costs
from streamer.plan.load import Bill, StreamLoad
from tests.unit.plan.examples import BARE, EXAMPLE, bare, curve


def test_a_batch_is_padded_as_the_runners_pad_it() -> None:
    costs = curve(1.0, 0.5, 0.25)
    assert [costs.call_s(n) for n in (0, 1, 2, 4, 5, 8, 9, 12)] == [0, 1, 2, 2, 2, 2, 3, 4]
    assert costs.best_s() == 0.25


def test_costs_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_costs(BARE, tmp_path / "costs.json")
    assert read_costs(tmp_path / "costs.json") == BARE


def test_shares_add_up_to_what_the_stages_cost() -> None:
    costs = bare(decode_s=0.001, resize_s=0.0005, refine=curve(0.002, 0.002, 0.002), align_s=0.0001, stream_s=0.001)
    load = StreamLoad(20.0, 1280, 720, faces=2.0, sample_fps=10.0)
    every, some = Bill(costs).shares(load), Bill(costs, 0.5).shares(load)
    assert every["decode"] == pytest.approx(20 * 4 * 0.001)
    assert every["resize"] == pytest.approx(10 * 4 * 0.0005)
    assert every["search"] == pytest.approx(10 * 0.01)
    assert "refine" not in every
    assert some["search"] == pytest.approx(2 * 0.01)
    assert some["refine"] == pytest.approx(8 * 2 * 0.002)
    assert some["align"] == pytest.approx(10 * 2 * 0.0001)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"v": 9}, "version 9"),
        ({"width": 0}, "width"),
        ({"decode_s": -1.0}, "decode_s"),
        ({"search": {"batches": [1, 4], "item_s": [0.1]}}, "search"),
        ({"embed": {"batches": [], "item_s": []}}, "embed"),
        ({"refine": {"batches": [4, 8], "item_s": [0.1, 0.1]}}, "refine"),
        ({"search": {"batches": [1], "item_s": [0.0]}}, "nothing"),
        ({"machine": {"cores": "many"}}, "cores"),
        ({"align_s": "quick"}, "align_s"),
        ({"speed": 1.0}, "speed"),
    ],
)
def test_costs_that_cannot_be_right_are_refused_with_a_reason(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(json.loads(EXAMPLE.read_text()) | changes))
    with pytest.raises(UsageError) as refused:
        read_costs(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_what_is_no_file_of_costs_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="--save"):
        read_costs(path)


def test_what_cannot_be_read_or_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        read_costs(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="--save"):
        write_costs(BARE, tmp_path / "absent" / "costs.json")
