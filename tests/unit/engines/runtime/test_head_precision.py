import msgspec
import pytest

from engines.runtime import Device, head_precision
from engines.spec import HeadSpec

STEPPED = HeadSpec(name="a", version="1", sha256="0" * 64, stat="probs", window=16, n_features=0, hidden=8)
WINDOWED = msgspec.structs.replace(STEPPED, hidden=0, windowed=True)


@pytest.mark.parametrize(
    ("requested", "spec", "device", "opened"),
    [
        ("auto", STEPPED, "auto", "fp32"),
        ("int8", STEPPED, "cpu", "fp32"),
        ("bf16", STEPPED, "cpu", "bf16"),
        ("auto", STEPPED, "cuda", "auto"),
        ("auto", WINDOWED, "auto", "auto"),
        ("int8", WINDOWED, "auto", "auto"),
        ("fp32", WINDOWED, "cuda", "fp32"),
    ],
)
def test_a_step_is_exact_unless_another_precision_is_asked_for(
    requested: str, spec: HeadSpec, device: Device, opened: str
) -> None:
    assert head_precision(requested, spec, device) == opened
