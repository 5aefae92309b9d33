"""Figures as files: what is written, that it can be read back, and what its marks say."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from streamer.colours import COLOURS
from streamer.errors import UsageError
from streamer.messages import RunRecord
from streamer.report import drawing
from streamer.report.series import TrackKey, TrackSeries, gather
from streamer.report.stills import check, write_figures
from streamer.types import EXPRESSIONS
from tests.synthetic_run import make_run
from tests.unit.report.made_up import series, steps

HAPPY, SAD = EXPRESSIONS.index("Happy"), EXPRESSIONS.index("Sad")


def of(
    run: str = "r-1", streams: tuple[str, str] = ("lobby", "interview")
) -> tuple[list[RunRecord], dict[TrackKey, TrackSeries]]:
    made = make_run(streams=streams, run=run, n_frames=40)
    return [made.run], gather(made.observations)


def test_every_figure_is_written_twice_and_can_be_read(tmp_path: Path) -> None:
    written = write_figures(*of(), tmp_path / "figures")
    names = sorted(str(path.relative_to(tmp_path / "figures")) for path in written)
    tracks = {"lobby": (1, 2), "interview": (1,)}
    expected = ["distribution"]
    for stream, numbers in tracks.items():
        expected += [f"r-1/{stream}-strip", f"r-1/{stream}-distribution"]
        expected += [f"r-1/{stream}-{kind}-track-{k}" for k in numbers for kind in ("timeline", "circumplex")]
    assert names == sorted(f"{name}.{suffix}" for name in expected for suffix in ("png", "svg"))
    for path in written:
        if path.suffix == ".png":
            width, height = struct.unpack(">II", path.read_bytes()[16:24])
            assert width >= 1000
            assert height >= 250
        else:
            root = ElementTree.parse(path).getroot()
            assert root.tag.endswith("svg")
            assert not [e for e in root.iter() if e.tag.endswith(("script", "image"))]


def test_the_same_records_make_the_same_bytes(tmp_path: Path) -> None:
    runs, found = of()
    only = {key: track for key, track in found.items() if key.stream == "interview"}
    first, second = (write_figures(runs, only, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_names_from_outside_stay_in_the_folder_and_draw_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.report.stills.DPI", 30)
    names = ("../../etc/passwd", "..-..-etc-passwd", "a/b\\c:d*?", "$x_1$ <b>", "名前", "." * 5, "n" * 400)
    found = {TrackKey("../r", name, 0, 1): series(20, run="../r", stream=name) for name in names}
    written = write_figures([], found, tmp_path / "figures")
    assert len(written) == len(set(written)) == 2 * (4 * len(names) + 1)
    for path in written:
        assert path.is_file()
        assert path.resolve().is_relative_to(tmp_path / "figures")
        assert not path.name.startswith(".")


def test_nothing_seen_draws_nothing(tmp_path: Path) -> None:
    assert write_figures([make_run().run], {}, tmp_path / "figures") == []


def test_wrong_places_and_a_missing_extra_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="it is a file; give a folder"):
        check(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'affect-streamer\[figures\]'"):
        check(tmp_path / "new")


def test_the_distribution_shows_the_shares() -> None:
    labels = np.array([HAPPY] * 6 + [SAD] * 3 + [-1], np.int8)
    [axes] = drawing.distribution([("a", labels)]).axes
    drawn = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    bars = [(round(bar.get_x(), 6), round(bar.get_width(), 6), to_hex(bar.get_facecolor())) for bar in drawn]
    assert bars[:2] == [(0.0, 0.6, COLOURS["Happy"]), (0.6, 0.3, COLOURS["Sad"])]
    assert bars[2][:2] == (0.9, 0.1)
    assert [text.get_text() for text in axes.texts] == ["60 %", "30 %", "10 %"]


def test_the_timeline_shows_what_was_seen_and_breaks_at_holes() -> None:
    track = series(60, valence=steps((30, -0.5), (30, 0.5)), labels=steps((30, SAD), (30, HAPPY)))
    track.t_s[40:] += 5.0
    strip, probs, values = drawing.timeline(track).axes
    assert len(probs.collections) == 2 * 7, "seven areas on either side of the hole"
    lines = [np.asarray(line.get_xdata(), float) for line in values.lines if line.get_linestyle() == "-"]
    assert [(x.min(), x.max()) for x in lines if x.size > 2] == [(0.0, 3.9), (9.0, 10.9)]
    assert len(strip.collections) == 2
    assert values.get_xlim() == pytest.approx((0.0, 11.0))


@pytest.mark.parametrize("end_s", [0.0, 3.0, 59.0, 4000.0, 90_000.0])
def test_time_has_few_ticks_at_round_places(end_s: float) -> None:
    [axes] = drawing.strip([series(5)], ["Track 1"], end_s).axes
    ticks = axes.get_xticks()
    assert 2 <= sum(1 for tick in ticks if 0 <= tick <= max(end_s, 0.2)) <= 10
