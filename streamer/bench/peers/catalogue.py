"""The peers there are, what each needs, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROGRAMS = Path(__file__).parent / "programs"
Network = Literal["own", "face-api", "resnet50"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant.

    `network` says which expression network it runs: its own, or one that it shares with us. `environment` names the
    environment, which several peers may share.
    """

    name: str
    environment: str
    requirements: tuple[str, ...]
    program: Path
    arguments: tuple[str, ...]
    licence: str
    network: Network
    about: str


# Newer ones do not go together: fer wants pkg_resources, which setuptools 82 dropped; TensorFlow from 2.20 and torch
# from 2.8 carry one LLVM each and end the process that imports both.
_FER = ("fer==25.10.3", "setuptools<81", "tensorflow<2.20", "torch<2.8", "opencv-contrib-python<5")
_FACEX = ("facex==1.1.0", "tensorflow<2.20", "opencv-contrib-python<5")
_AFTERNOON = ("numpy", "onnxruntime", "opencv-python-headless<5")
_AFTERNOON_LICENCE = "Apache-2.0 (this repository); ONNX Runtime: MIT; OpenCV: Apache-2.0; CenterFace: MIT"

PEERS = (
    Peer(
        "fer-mtcnn",
        "fer",
        _FER,
        PROGRAMS / "libraries.py",
        ("--library", "fer-mtcnn"),
        "MIT (fer); MIT (facenet-pytorch)",
        "own",
        "the Python package fer with MTCNN, its defaults otherwise",
    ),
    Peer(
        "fer-haar",
        "fer",
        _FER,
        PROGRAMS / "libraries.py",
        ("--library", "fer-haar"),
        "MIT (fer); Haar cascade: Intel licence (BSD-like), with OpenCV",
        "own",
        "the Python package fer with its default Haar cascade",
    ),
    Peer(
        "facex",
        "facex",
        _FACEX,
        PROGRAMS / "libraries.py",
        ("--library", "facex"),
        "MIT (facex); Haar cascade: Intel licence (BSD-like), with OpenCV",
        "own",
        "the Python package facex with a pool of one, as its document shows",
    ),
    Peer(
        "afternoon",
        "afternoon",
        _AFTERNOON,
        PROGRAMS / "afternoon.py",
        (),
        f"{_AFTERNOON_LICENCE}; face-api: MIT",
        "face-api",
        "the loop of an afternoon: OpenCV capture, CenterFace and the face-api network in ONNX Runtime, fp32, batch 1",
    ),
    Peer(
        "afternoon-resnet50",
        "afternoon",
        _AFTERNOON,
        PROGRAMS / "afternoon.py",
        (),
        f"{_AFTERNOON_LICENCE}; weights: random, or those of the folder that was named",
        "resnet50",
        "the same loop with ResNet50 at 224 px, fp32, batch 1",
    ),
)

GOALS: dict[str, dict[str, dict[str, float]]] = {
    "every_frame": {
        "fer-mtcnn": {"many": 9.0, "one": 7.0},
        "fer-haar": {"many": 6.0, "one": 4.5},
        "afternoon": {"many": 2.0},
    },
    "refine": {"fer-mtcnn": {"many": 20.0}, "fer-haar": {"many": 13.0}, "afternoon": {"many": 3.0}},
    "resnet50": {"afternoon-resnet50": {"many": 4.0}},
}
"""How many times as fast we are to be: with every frame searched whole, and with refine; with ResNet50 on a CPU that
has AMX (bf16 4, int8 5)."""
