"""The models that a command is about to run: in the cache, or fetched into it."""

from __future__ import annotations

from pathlib import Path

import click

from engines.errors import WrongUse
from engines.spec import Role
from engines.zoo import check_fit, is_export, list_models, load_head, pull, spec_of
from engines.zoo import load as load_model
from streamer.config import Config
from streamer.errors import UsageError


def ensure_models(config: Config, *, offline: bool, quiet: bool) -> None:
    """Have the configured models in the cache, fetching and converting them when they are not."""
    folder = Path(config.models.folder) if config.models.folder else None

    def tell(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    cached = {model.spec.name for model in list_models() if model.path is not None}
    wanted = config.models
    roles: tuple[tuple[str, Role], ...] = ((wanted.detector, "detector"), (wanted.expression, "expression"))
    try:
        for name, role in roles:
            precision = wanted.precision if role == "expression" else "auto"
            spec_of(name, precision=precision, role=role)
            if name not in cached and not offline and not is_export(name):
                pull(name, folder=folder, progress=tell)
            spec = load_model(name, folder=folder, offline=offline, precision=precision).spec
        if wanted.head not in ("none", "mean"):
            head, _ = load_head(wanted.head)
            check_fit(head, spec)
    except WrongUse as error:
        raise UsageError(str(error)) from error
