"""The command `streamer`: what the operator types, what comes back, with which exit code.

0 done, 1 failed, 2 wrong use, 130 interrupted and drained. Errors are one sentence on standard error.
"""

from __future__ import annotations

import importlib
import io
import os
import select
import sys
from typing import Any

import click

from engines.errors import EnginesError, UnknownModel
from streamer.errors import StreamerError, UsageError

_COMMANDS = {
    "annotate": "streamer.cli.annotate:annotate_command",
    "bench": "streamer.cli.bench:bench",
    "check": "streamer.cli.check:check",
    "dashboard": "streamer.cli.dashboard:dashboard",
    "demo": "streamer.cli.demo:demo",
    "doctor": "streamer.cli.doctor:doctor",
    "export": "streamer.cli.export:export",
    "jobs": "streamer.cli.jobs:jobs",
    "licences": "streamer.cli.models:licences",
    "models": "streamer.cli.models:models",
    "plan": "streamer.cli.plan:plan",
    "purge": "streamer.cli.purge:purge",
    "report": "streamer.cli.read:report",
    "run": "streamer.cli.run:run",
    "streams": "streamer.cli.streams:streams",
    "tail": "streamer.cli.read:tail",
    "topics": "streamer.cli.topics:topics",
    "worker": "streamer.cli.worker:worker",
}
# A group without a command shows its help: click since 8.2 by this error, before by itself.
_HELP_INSTEAD: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


class _LazyGroup(click.Group):
    """Imports a command only when it is asked for, so that `streamer tail` does not load what `run` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if not _nobody_reads():
                raise
            # Whoever read our output has enough; point it elsewhere so that the interpreter's last flush stays quiet.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="affect-streamer", prog_name="streamer")
def cli() -> None:
    """Watch video streams and publish what the faces in them express.

    \b
    Example:
      streamer demo
      streamer run holiday.mp4 --report report.html
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit code."""
    _write_whole_lines()
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="streamer", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        return 130
    except _HELP_INSTEAD as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "streamer"
        return _complain(f"{_sentence(error)} See `{where} --help`.", error.exit_code)
    except click.ClickException as error:
        return _complain(_sentence(error), error.exit_code)
    except (UsageError, UnknownModel) as error:
        return _complain(error, 2)
    except (StreamerError, EnginesError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0


def _complain(error: Exception | str, exit_code: int) -> int:
    click.echo(f"streamer: {error}", err=True)
    return exit_code


def _sentence(error: click.ClickException) -> str:
    return " ".join(error.format_message().split())


def _write_whole_lines() -> None:
    """Put a buffer before a standard output without one (PYTHONUNBUFFERED, usual in containers).

    Bare, it may take a part of what is written and only say so in a number that no writer looks at.
    """
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        buffered = io.BufferedWriter(raw)
        sys.stdout = io.TextIOWrapper(buffered, sys.stdout.encoding, sys.stdout.errors, line_buffering=True)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe that nobody reads any more: then a broken pipe is no failure of ours."""
    watched = select.poll()
    watched.register(sys.stdout.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in watched.poll(0))
