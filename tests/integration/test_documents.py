"""What the documents show is taken by the programs: every block is parsed or run, or says why not."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from engines.cli import cli as engines_cli
from streamer.cli import cli as streamer_cli
from streamer.config import load
from streamer.control.words import Change, Wish
from streamer.schema import RECORDS
from tests.documents import DOCUMENTS, SHELL, Block, blocks, code_spans
from tests.product import ROOT, streamer

PROGRAMS = {"streamer": streamer_cli, "engines": engines_cli}
UNTRIED = {
    "source -> decode": "a drawing",
    "decoder children (CPU)": "a drawing",
    "kcat ": "a program of others; tests/readers read the topics with clients of others",
}
"""Blocks by what they begin with, and why nothing is made of them."""


def untried(block: Block) -> bool:
    if block.language == "text":  # figures as a program printed them: tests/unit/bench/test_document.py holds them
        return block.page == "docs/benchmarks.md"
    return any(block.text.startswith(beginning) for beginning in UNTRIED)


def context_of(words: list[str], here: click.Context | None = None) -> tuple[click.Context, list[str]]:
    """The innermost command that `words` name, made as the program makes it, and what is left of them."""
    program, *rest = words
    cli = PROGRAMS[program]
    context = here or click.Context(cli, info_name=program, **cli.context_settings)
    command: click.Command = cli
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        with context:
            name, found, rest = command.resolve_command(context, rest)
        assert found is not None, words
        command, context = found, click.Context(found, info_name=name, parent=context, **found.context_settings)
    return context, rest


def take_command(words: list[str]) -> None:
    """A command line as typed: its command exists and takes these options and arguments."""
    context, rest = context_of(words)
    rest = [word.replace("SOURCE...", "SOURCE") for word in rest]
    with context:
        context.command.make_context(context.info_name, rest, parent=context.parent)


def take_python(words: list[str]) -> None:
    assert words[1] == "-m", words
    assert importlib.util.find_spec(words[2]) is not None


def take_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in words[1:]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def take_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    *options, package = words
    if options[-1] == "-r":
        assert (ROOT / package).is_file()
        return
    name, _, extras = package.rstrip("]").partition("[")
    assert name in (".", project["name"])
    assert not extras or set(extras.split(",")) <= set(project["optional-dependencies"])


def take_curl(words: list[str]) -> None:
    """A request to the process' own HTTP: a page with such a path says so, and the body is one it takes."""
    *options, address = words[1:]
    path = re.sub(r"^http://127\.0\.0\.1:\d+", "", address)
    paths = (ROOT / "docs" / "control.md").read_text(encoding="utf-8")
    method = options[options.index("-X") + 1] if "-X" in options else "GET"
    known = re.sub(r"(?<=^/streams/).+", "NAME", path)
    assert re.search(rf"`{method} [^|]*{known}\b", paths), words
    if "-d" in options:
        body = options[options.index("-d") + 1]
        msgspec.json.decode(body, type=Wish if method == "PUT" else Change)


TAKEN_BY = {
    "streamer": take_command,
    "engines": take_command,
    ".venv-engines/bin/python": take_python,
    "python": take_python,
    "make": take_make,
    "pip": take_pip,
    "curl": take_curl,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what some command lines want to be there."""
    (tmp_path / "datasets" / "Aff-Wild2").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("block", [block for block in blocks(*SHELL) if not untried(block)], ids=str)
def test_each_command_is_one_that_is_taken(block: Block) -> None:
    commands = block.commands()
    assert commands, "neither a command nor a block of UNTRIED"
    for words in commands:
        assert words[0] in TAKEN_BY, f"{block}: nothing here knows {words[0]}: teach TAKEN_BY or UNTRIED"
        TAKEN_BY[words[0]](words)


@pytest.mark.parametrize(("page", "code"), [span for span in code_spans() if span[1].split()[0] in PROGRAMS])
def test_each_command_in_the_prose_exists_with_its_options(page: str, code: str) -> None:
    """A sentence names parts of a command: the command must exist, and its options too; arguments may be missing."""
    context, rest = context_of(re.sub(r"[|].*| \.\.\.$", "", code).split())
    options = {name for parameter in context.command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "-h"}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options, page


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if not untried(block)], ids=str)
def test_each_configuration_is_right(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert msgspec.to_builtins(load(path))


@pytest.mark.parametrize("block", [block for block in blocks("json") if not untried(block)], ids=str)
def test_each_record_has_fields_that_exist_with_values_they_take(block: Block) -> None:
    """Records are shown shortened, so each field is looked at alone."""
    shown: dict[str, Any] = msgspec.json.decode(block.text)
    kinds = [kind for kind in RECORDS if set(shown) <= set(kind.__struct_fields__)]
    assert kinds, f"no record has all of {sorted(shown)}"
    assert any(all(_takes(kind, name, value) for name, value in shown.items()) for kind in kinds)


def _takes(kind: type[msgspec.Struct], name: str, value: Any) -> bool:
    field = next(field for field in msgspec.structs.fields(kind) if field.name == name)
    try:
        msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        return False
    return True


def test_each_block_is_of_a_language_that_something_is_made_of() -> None:
    """`python` is run by test_documents_run.py; an include is read when the site is made, by test_site.py."""
    known = (*SHELL, "yaml", "json", "python")
    for block in blocks():
        assert block.language in known or block.language.startswith("{include}") or untried(block), str(block)


@pytest.mark.parametrize("beginning", UNTRIED)
def test_nothing_is_excused_that_is_not_there(beginning: str) -> None:
    assert any(block.text.startswith(beginning) for block in blocks())


def test_links_between_documents_lead_somewhere() -> None:
    """Those of the README too, which is no page of the site."""
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_example_configurations_are_right(path: Path, tmp_path: Path) -> None:
    done = streamer("check", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
