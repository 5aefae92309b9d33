"""The `engines` command: models from data set to running engine.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted. Errors are one sentence on standard error.
"""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from engines.errors import EnginesError, UnknownModel, WrongUse

_COMMANDS = {
    "build": "engines.cli.build:build",
    "calibrate": "engines.cli.models:calibrate",
    "compare": "engines.cli.compare:compare",
    "data": "engines.cli.data:data",
    "evaluate": "engines.cli.evaluate:evaluate",
    "experiment": "engines.cli.experiment:experiment",
    "export": "engines.cli.export:export",
    "models": "engines.cli.models:models",
    "quantize": "engines.cli.quantize:quantize",
    "temporal": "engines.cli.temporal:temporal",
    "train": "engines.cli.train:train",
}
"""Command to module and object. The modules import neither torch nor an engine; the functions of commands do."""
_OF_THE_EXTRA = {"nncf", "onnxscript", "sklearn", "tensorboard", "timm", "torch", "torchvision"}


class _LazyGroup(click.Group):
    """Imports a command only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Fetch, train, judge, convert and check models.

    Example: engines models pull centerface face-api
    """


def main() -> NoReturn:
    """Run the command: exit code 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        code = cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        click.echo(
            f"engines: this needs the package {error.name}: install affect-streamer[engines], or run `make engines` "
            "and use .venv-engines/bin/engines",
            err=True,
        )
        sys.exit(2)
    except (UnknownModel, WrongUse) as error:
        click.echo(f"engines: {error}", err=True)
        sys.exit(2)
    except EnginesError as error:
        click.echo(f"engines: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
