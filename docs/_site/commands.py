"""The help of every command, as the terminal shows it, for the page `commands`."""

from collections.abc import Iterator

import click
from sphinx.application import Sphinx

from engines.cli import cli as engines
from streamer.cli import cli as streamer


def add(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put it under the page, as Sphinx' `source-read` asks."""
    if page == "commands":
        programs = {"streamer": streamer, "engines": engines}
        source[0] += "\n".join(part for name, program in programs.items() for part in helps(program, name, None))


def helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A heading and the help of `command`, then of what is in it."""
    settings = {"terminal_width": 100, "max_content_width": 100, **command.context_settings}
    with click.Context(command, info_name=name, parent=parent, **settings) as context:
        yield f"\n{'###' if parent and parent.parent else '##'} {context.command_path}\n"
        yield f"```text\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None, inner
                yield from helps(found, inner, context)
