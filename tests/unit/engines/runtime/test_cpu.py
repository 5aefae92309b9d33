from pathlib import Path

import pytest

from engines.errors import EngineError
from engines.runtime.cpu import Cpu, choose_precision, this_cpu

PLAIN = Cpu("a plain one", frozenset({"avx2"}), "p")
AMX = Cpu("one with AMX", frozenset({"avx2", "avx512f", "amx_bf16"}), "a")
AVX512_BF16 = Cpu("one with AVX-512 BF16", frozenset({"avx512_bf16"}), "b")
UNTOLD = Cpu("one whose flags are not told", frozenset(), "u")


@pytest.mark.parametrize(
    ("requested", "engine_can", "cpu", "quantised", "expected"),
    [
        ("auto", {"FP32", "INT8"}, PLAIN, False, "fp32"),
        ("auto", {"FP32", "BF16"}, AMX, False, "bf16"),
        ("auto", {"FP32", "BF16"}, AVX512_BF16, False, "bf16"),
        ("auto", {"FP32", "BF16"}, PLAIN, False, "fp32"),  # the engine would emulate it
        ("auto", {"FP32", "BF16"}, UNTOLD, False, "fp32"),
        ("auto", {"FP32"}, AMX, False, "fp32"),
        ("auto", {"FP32", "BF16"}, AMX, True, "int8"),
        ("fp32", {"FP32", "BF16"}, AMX, False, "fp32"),
        ("bf16", {"FP32", "BF16"}, AMX, False, "bf16"),
        ("fp16", {"FP32", "FP16"}, UNTOLD, False, "fp16"),
        ("int8", {"FP32", "INT8"}, PLAIN, True, "int8"),
    ],
)
def test_precision_follows_the_cpu(
    requested: str, engine_can: set[str], cpu: Cpu, quantised: bool, expected: str
) -> None:
    assert choose_precision(requested, engine_can=engine_can, cpu=cpu, quantised=quantised) == expected


@pytest.mark.parametrize(
    ("requested", "said"),
    [
        ("bf16", "a plain one.* has no bf16"),
        ("fp16", "has no fp16"),
        ("int8", "needs a quantised model"),
        ("fp64", "no precision is called 'fp64'"),
    ],
)
def test_what_cannot_be_had_is_said(requested: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        choose_precision(requested, engine_can={"FP32", "BF16", "INT8"}, cpu=PLAIN)


def test_the_fingerprint_differs_where_kernels_may(tmp_path: Path) -> None:
    text = "processor\t: 0\nmodel name\t: A Chip\nflags\t\t: avx2 fma\ncpu MHz\t\t: {}\n\nprocessor\t: 1\n"
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text.format(2400))
    one = this_cpu(cpuinfo)
    assert (one.name, one.flags) == ("A Chip", frozenset({"avx2", "fma"}))
    cpuinfo.write_text(text.format(2900))
    assert this_cpu(cpuinfo) == one
    cpuinfo.write_text(text.format(2400).replace("fma", "fma amx_bf16"))
    assert this_cpu(cpuinfo).fingerprint != one.fingerprint
    assert this_cpu(tmp_path / "none").flags == frozenset()
