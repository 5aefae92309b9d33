"""`models.device: cuda` in the streamer, with torch computing on the CPU in the GPU's place."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engines.faces import pictures_of
from engines.runtime import gpu, torch_runner
from engines.runtime.cuda.devices import CudaDevice
from engines.zoo.sample import fetch_sample
from streamer.config import Config, ModelSettings
from streamer.faces.track import Tracker
from streamer.messages import Observation
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.pixels import Picture
from streamer.state.actor import StreamActor
from streamer.state.records import StreamContext
from streamer.types import Counters
from tests.unit.worker.rig import frame

N_FRAMES = 12


@pytest.fixture
def torch_as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "cuda_devices", lambda: (CudaDevice(0, "no GPU", "8.6"),))
    for name in ("open_image_model", "open_temporal_head"):
        opener: Callable[..., Any] = getattr(torch_runner, name)

        def on_cpu(*args: Any, opener: Callable[..., Any] = opener, **settings: Any) -> Any:
            assert settings["device"] == "cuda:0"
            return opener(*args, **(settings | {"device": "cpu"}))

        monkeypatch.setattr(torch_runner, name, on_cpu)


def observed(settings: ModelSettings) -> tuple[list[Observation], Models]:
    config = Config(models=settings)
    models = Models.open(config)
    pipeline = Pipeline(models, config, StageTimes())
    counters = Counters()
    context = StreamContext("a", "r-1", "session", models.model_id, models.precision)
    actor = StreamActor(context, config.state, models.head.needs, counters)
    state = StreamState(Tracker(config.track), actor, counters)
    found = []
    for index, picture in zip(range(N_FRAMES), pictures_of(fetch_sample()), strict=False):
        one = dataclasses.replace(frame("a", index), picture=Picture.from_array(picture))
        pipeline.prepare((one.picture.width, one.picture.height))
        for _, records in pipeline.step([(state, one)]):
            found += [record for record in records if isinstance(record, Observation)]
    return found, models


@pytest.mark.models
@pytest.mark.usefixtures("models", "torch_as_gpu")
def test_the_streamer_sees_the_same_through_torch() -> None:
    by_openvino, models = observed(ModelSettings(precision="fp32"))
    by_torch, torch_models = observed(ModelSettings(precision="fp32", device="cuda"))
    assert models.head.spec is not None, "the default head carries its state beside the GPU"
    assert "torch" in torch_models.device
    assert "torch" not in models.device
    assert len(by_openvino) == N_FRAMES, "one face, as in the clip"
    assert {record.precision for record in by_torch} == {"fp32"}
    for one, other in zip(by_openvino, by_torch, strict=True):
        assert one.label == other.label
        assert np.abs(np.array(one.probs) - np.array(other.probs)).max() < 1e-3
        assert np.abs(np.array(one.box_xywh) - np.array(other.box_xywh)).max() < 1e-3
