"""The TensorRT runner over a GPU of numpy: everything but the driver's own calls."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.cuda.devices import CudaDevice
from engines.runtime.cuda.frames import crop_maps, normalising, rgb_layout
from engines.runtime.cuda.reference import cut_crops, normalise_crops
from engines.runtime.cuda.timing import crops_per_second
from engines.runtime.forms import Piece, padded_pieces
from engines.runtime.invariance import prove_batch_invariance, random_pictures
from engines.runtime.tensorrt_driver import Port
from engines.runtime.tensorrt_lanes import batches_in
from engines.runtime.tensorrt_plan import BatchProfile, PlanKey, PlanRecord
from engines.runtime.tensorrt_runner import TensorRtRunner, open_image_model, open_temporal_head
from engines.spec import CropGeometry, ModelSpec
from tests.engines.runtime.exported import backbone_spec, head, head_rows, run_openvino
from tests.engines.runtime.fake_gpu import FakeDriver, FakeEngine

SIDE = 16
DEVICE = CudaDevice(0, "Fake GPU", "8.6")
FLOAT = np.dtype("float32")


def record(most: int = 8, least: int = 1) -> PlanRecord:
    key = PlanKey(
        network="backbone",
        network_sha256="0" * 64,
        library="tensorrt_rtx",
        library_version="0",
        capability="8.6",
        device="",
        precision="fp16",
        profile=BatchProfile(min=least, opt=most, max=most),
    )
    return PlanRecord(key=key, plan_sha256="0" * 64, plan_bytes=1, inputs=(), outputs=())


def spec(**changes: Any) -> ModelSpec:
    made = backbone_spec(b"", side_px=SIDE)
    made = msgspec.structs.replace(
        made,
        outputs=(
            msgspec.structs.replace(made.outputs[0], shape=(-1, 3)),
            msgspec.structs.replace(made.outputs[1], shape=(-1, 2)),
        ),
        prepared_batches=(1, 4, 8),
        batch_invariant=True,
    )
    return msgspec.structs.replace(made, **changes)


def network(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Answers that depend on every pixel and its place."""
    image = inputs["image"]
    weights = np.arange(image[0, 0].size, dtype=np.float32).reshape(image.shape[2:]) / image[0, 0].size
    features = (image * weights).sum((2, 3))
    return {"features": features, "logits": features[:, :2] * 2}


def engine_of(driver: FakeDriver, dtype: str = "float32", size: tuple[int, int] = (SIDE, SIDE)) -> FakeEngine:
    ports = (Port("features", (3,), FLOAT), Port("logits", (2,), FLOAT))
    return FakeEngine(driver, (Port("image", (3, *size), np.dtype(dtype)),), ports, network)


class Opened:
    """A runner and the parts of the fake behind it."""

    def __init__(self, *, graphs: bool = True, most: int = 8, dtype: str = "float32", **changes: Any) -> None:
        self.driver = FakeDriver()
        self.engine = engine_of(self.driver, dtype)
        self.spec = spec(**changes)
        self.runner: TensorRtRunner = open_image_model(
            self.spec, Path("x.plan"), record(most), DEVICE, load=lambda *_: (self.driver, self.engine), graphs=graphs
        )
        self.engine.batches.clear()
        self.driver.log.clear()
        self.driver.n_graph_launches = 0


def pictures(n: int) -> dict[str, NDArray[np.uint8]]:
    return {"image": np.asarray(random_pictures(n, SIDE, SIDE), np.uint8)}


def expected(images: NDArray[np.uint8], model: ModelSpec) -> dict[str, NDArray[np.float32]]:
    return network({"image": normalise_crops(images, normalising(model.normalisation))})


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 9, 21, 40])
def test_any_number_of_crops_is_answered_row_by_row(n: int, graphs: bool) -> None:
    opened = Opened(graphs=graphs)
    answer = opened.runner.infer(pictures(n))
    for name, values in expected(pictures(n)["image"], opened.spec).items():
        assert np.array_equal(answer[name], values)
    assert sum(opened.engine.batches) >= n
    assert set(opened.engine.batches) <= {1, 4, 8}
    assert (opened.driver.n_graph_launches > 0) == graphs


def test_one_lane_computes_while_the_other_is_filled() -> None:
    opened = Opened()
    opened.runner.infer(pictures(32))
    assert opened.driver.log == [
        *("submit 0", "submit 1", "wait 0", "submit 0", "wait 1", "submit 1", "wait 0", "wait 1"),
    ]


def test_nothing_is_made_on_the_hot_path() -> None:
    opened = Opened()
    opened.runner.infer(pictures(40))
    before = (opened.driver.n_made, opened.engine.n_contexts)
    for n in (40, 3, 17):
        opened.runner.infer(pictures(n))
    assert (opened.driver.n_made, opened.engine.n_contexts) == before


def test_no_crop_is_no_answer() -> None:
    assert Opened().runner.infer(pictures(0))["features"].shape == (0, 3)


def test_a_graph_has_its_own_context_for_every_batch_and_lane() -> None:
    assert Opened(graphs=True).engine.n_contexts == 6
    assert Opened(graphs=False).engine.n_contexts == 2


def test_padding_is_zero_whatever_ran_before() -> None:
    seen: list[NDArray[np.float32]] = []
    opened = Opened()
    opened.runner.infer(pictures(8))
    opened.runner.infer(pictures(8))

    def watching(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        seen.append(inputs["image"].copy())
        return network(inputs)

    opened.engine.network = watching
    opened.runner.infer(pictures(3))
    assert seen[0].shape[0] == 4
    black = normalise_crops(np.zeros((1, SIDE, SIDE, 3), np.uint8), normalising(opened.spec.normalisation))
    assert np.array_equal(seen[0][3:], black)


def test_a_half_precision_input_is_fed_by_the_other_kernel() -> None:
    opened = Opened(dtype="float16")
    exact = expected(pictures(5)["image"], opened.spec)["features"]
    found = opened.runner.infer(pictures(5))["features"]
    assert 0 < np.abs(found - exact).max() < 1e-2 * np.abs(exact).max()


def test_only_sizes_of_equal_bits_are_used_and_rows_keep_their_bits() -> None:
    driver = FakeDriver()
    engine = engine_of(driver)

    def coarse(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Another sum at batch 4, as an engine's other kernel would have."""
        image = inputs["image"]
        answer = network(inputs)
        return {name: values * (np.float32(1.0001) if len(image) == 4 else 1) for name, values in answer.items()}

    engine.network = coarse
    runner = open_image_model(spec(), Path("x"), record(), DEVICE, load=lambda *_: (driver, engine))
    assert runner.batches == (1, 8)
    assert prove_batch_invariance(runner, pictures).holds


def test_a_model_without_the_proof_runs_at_one_batch_that_the_plan_takes() -> None:
    assert Opened(batch_invariant=False).runner.batches == (8,)
    opened = Opened(batch_invariant=False, most=6)
    assert opened.runner.batches == (4,)
    opened.runner.infer(pictures(3))
    assert opened.engine.batches == [4]


def test_submit_and_collect_leave_the_caller_free() -> None:
    opened = Opened()
    runner = opened.runner
    first, second = runner.submit(pictures(2)), runner.submit(pictures(8))
    assert runner.n_free == 0
    with pytest.raises(EngineError, match=r"all 2 lanes .* collect one first"):
        runner.submit(pictures(1))
    with pytest.raises(EngineError, match="under way"):
        runner.infer(pictures(1))
    later, sooner = runner.collect(second), runner.collect(first)
    assert np.array_equal(later["features"], expected(pictures(8)["image"], opened.spec)["features"])
    assert np.array_equal(sooner["features"], expected(pictures(2)["image"], opened.spec)["features"])
    with pytest.raises(EngineError, match="1 to 8 rows at once, not 9"):
        runner.submit(pictures(9))


@pytest.mark.parametrize("border", ["constant", "replicate"])
def test_crops_are_cut_out_of_a_frame(border: str) -> None:
    crop = CropGeometry(
        kind="box", width=SIDE, height=SIDE, border="replicate" if border == "replicate" else "constant"
    )
    opened = Opened(crop=crop)
    for width, height in ((60, 40), (30, 20), (90, 70)):  # buffers grow, and are not too large afterwards
        frame = np.asarray(random_pictures(1, height, width)[0], np.uint8)
        layout = rgb_layout(width, height)
        maps = np.stack([np.array([[0.8, 0.1, -3.0 - i], [-0.1, 0.8, 2.0 * i]]) for i in range(3)])
        form = normalising(opened.spec.normalisation, layout.black)
        cut = cut_crops(
            frame.ravel(),
            layout.table(),
            crop_maps(maps, layout),
            layout.colour("rgb"),
            form,
            SIDE,
            SIDE,
            crop.border,
        )
        answer = opened.runner.collect(opened.runner.submit_cuts(frame, layout, maps))
        assert np.array_equal(answer["features"], network({"image": cut})["features"])
    after = opened.runner.infer(pictures(3))["features"]
    assert np.array_equal(after, expected(pictures(3)["image"], opened.spec)["features"])


def test_frames_that_do_not_fit_are_refused() -> None:
    opened = Opened()
    layout = rgb_layout(60, 40)
    with pytest.raises(EngineError, match="7197 uint8 samples, its layout 7200"):
        opened.runner.submit_cuts(np.zeros(7197, np.uint8), layout, np.zeros((1, 2, 3)))
    area = Opened(crop=CropGeometry(kind="box", width=SIDE, height=SIDE, interpolation="area"))
    with pytest.raises(EngineError, match="linear"):
        area.runner.submit_cuts(np.zeros(7200, np.uint8), layout, np.zeros((1, 2, 3)))
    assert opened.runner.infer(pictures(1))["features"].shape == (1, 3)


@pytest.mark.parametrize("how", ["enqueue", "wait"])
def test_after_a_failure_the_next_batch_runs(how: str) -> None:
    opened = Opened(graphs=False)
    if how == "enqueue":
        opened.engine.refuse = True
    else:
        opened.driver.fail_next_wait = True
    with pytest.raises(EngineError, match=r"refused a batch|failed on a batch"):
        opened.runner.infer(pictures(30))
    answer = opened.runner.infer(pictures(11))
    assert np.array_equal(answer["features"], expected(pictures(11)["image"], opened.spec)["features"])


def test_closing_frees_everything_and_says_so() -> None:
    opened = Opened()
    opened.runner.submit(pictures(1))
    opened.runner.close()
    opened.runner.close()
    assert (opened.driver.closed, opened.engine.closed) == (True, True)
    with pytest.raises(EngineError, match="closed"):
        opened.runner.infer(pictures(1))


def test_a_plan_of_another_picture_or_model_is_refused() -> None:
    driver = FakeDriver()
    wrong_size = engine_of(driver, size=(SIDE, SIDE + 1))
    with pytest.raises(EngineError, match="not pictures of 16x16: build it again"):
        open_image_model(spec(), Path("x"), record(), DEVICE, load=lambda *_: (driver, wrong_size))
    wrong_output = engine_of(driver)
    wrong_output.outputs = wrong_output.outputs[:1]
    with pytest.raises(EngineError, match="no output logits"):
        open_image_model(spec(), Path("x"), record(), DEVICE, load=lambda *_: (driver, wrong_output))


@pytest.mark.parametrize("kind", ["windowed", "recurrent"])
def test_a_head_runs_by_the_names_of_its_spec(kind: str) -> None:
    content, head_spec = head(kind)
    rows = head_rows(head_spec, 11)
    whole = run_openvino(content, rows)
    driver = FakeDriver()
    engine = FakeEngine(
        driver,
        tuple(Port(name, values.shape[1:], FLOAT) for name, values in rows.items()),
        tuple(Port(name, values.shape[1:], FLOAT) for name, values in whole.items()),
        lambda inputs: run_openvino(content, inputs),
    )
    runner = open_temporal_head(
        head_spec, Path("x"), record(), DEVICE, load=lambda *_: (driver, engine), batches=(1, 2, 4, 8, 16)
    )
    assert runner.batches[-1] == 8
    answer = runner.infer(rows)
    assert {"probs", "valence", "arousal"} | ({"h", "c"} if head_spec.hidden else set()) == answer.keys()
    assert np.abs(answer["probs"] - whole["probs_out"]).max() < 1e-5
    assert answer["valence"].shape == (11,)
    assert (runner.precision, runner.device) == ("fp16", driver.name)


def test_pieces_cover_every_row_once() -> None:
    assert padded_pieces(0, (1, 4)) == []
    assert padded_pieces(3, (1, 4)) == [Piece(4, 0, 3)]
    assert padded_pieces(9, (1, 4)) == [Piece(4, 0, 4), Piece(4, 4, 8), Piece(1, 8, 9)]
    assert padded_pieces(5, (8,)) == [Piece(8, 0, 5)]


def test_prepared_sizes_stay_inside_the_profile() -> None:
    assert batches_in((1, 4, 8, 64), 1, 32) == (1, 4, 8)
    assert batches_in((1, 4), 8, 32) == (32,)


def test_timing_counts_what_was_answered_while_the_clock_ran() -> None:
    opened = Opened()
    ticks = iter(range(100))
    rate = crops_per_second(opened.runner, SIDE, SIDE, 5, seconds=4.0, clock=lambda: float(next(ticks)))
    assert rate == pytest.approx(3 * 5 / 4)  # asked at 0, then at 1, 2, 3: three calls; at 4 it is over
