"""Who watches a run: TensorBoard, and a person at a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engines.training.loop import Row, Watcher
from engines.training.parts import StepLoss

TENSORBOARD = "tensorboard"
_EVERY_STEPS = 10


class Watchers:
    """Several as one."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = tuple(watchers)

    def begin(self, at: int, n_steps: int, n_epochs: int) -> None:
        """See `Watcher`."""
        for one in self._watchers:
            one.begin(at, n_steps, n_epochs)

    def step(self, epoch: int, step: int, n_steps: int, at: int, loss: StepLoss) -> None:
        """See `Watcher`."""
        for one in self._watchers:
            one.step(epoch, step, n_steps, at, loss)

    def epoch(self, row: Row, *, best: bool) -> None:
        """See `Watcher`."""
        for one in self._watchers:
            one.epoch(row, best=best)


class TensorBoardLog:
    """Losses every ten steps and an epoch's figures, in `FOLDER/tensorboard`. What a killed run had logged behind its
    last checkpoint is purged when it goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / TENSORBOARD
        self._writer: Any = None

    def begin(self, at: int, n_steps: int, n_epochs: int) -> None:
        """See `Watcher`."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=at + 1 if at else None)

    def step(self, epoch: int, step: int, n_steps: int, at: int, loss: StepLoss) -> None:
        """See `Watcher`."""
        if at % _EVERY_STEPS == 0:
            for name, value in loss.plain().items():
                self._writer.add_scalar(f"step/{name}", value, at)

    def epoch(self, row: Row, *, best: bool) -> None:
        """See `Watcher`."""
        for name, value in row.items():
            if name not in ("epoch", "step") and value is not None:
                self._writer.add_scalar(f"epoch/{name}", value, int(row["step"] or 0))
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()


class Display:
    """A bar for the current epoch where `console` is a terminal, and one line an epoch everywhere.

    Used with `with`; `clock` is monotonic, in seconds.
    """

    def __init__(self, console: Console, *, unit: str, per_step: int, clock: Callable[[], float] = time.monotonic):
        self._console, self._unit, self._per_step, self._clock = console, unit, per_step, clock
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, told="", visible=False)
        self._n_epochs = 0
        self._began_s, self._n_done = clock(), 0

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def embedding(self, name: str, done: int, total: int) -> None:
        """So many pictures of a set have been embedded."""
        self._progress.update(
            self._task, description=f"embedding {name}", completed=done, total=total, told="", visible=True
        )

    def begin(self, at: int, n_steps: int, n_epochs: int) -> None:
        """See `Watcher`."""
        self._n_epochs = n_epochs
        self._began_s, self._n_done = self._clock(), 0
        if at:
            self._console.print(f"going on after step {at}", highlight=False)

    def step(self, epoch: int, step: int, n_steps: int, at: int, loss: StepLoss) -> None:
        """See `Watcher`."""
        self._n_done += self._per_step
        if not self._console.is_terminal:
            return
        told = f"loss {loss.total.item():.3f}  {self._rate():.0f} {self._unit}/s"
        self._progress.update(
            self._task,
            description=f"epoch {epoch}/{self._n_epochs}",
            completed=step,
            total=n_steps,
            told=told,
            visible=True,
        )

    def epoch(self, row: Row, *, best: bool) -> None:
        """See `Watcher`."""
        figures = [f"epoch {row['epoch']}/{self._n_epochs}", f"loss {row['loss']:.4f}"]
        names = {"accuracy": "accuracy", "challenge": "expression", "va": "VA", "score": "score"}
        figures += [f"{name} {row[key]:.3f}" for key, name in names.items() if row.get(key) is not None]
        figures.append(f"{self._rate():.0f} {self._unit}/s{', the best so far' if best else ''}")
        self._console.print(", ".join(figures), highlight=False, soft_wrap=True)
        self._began_s, self._n_done = self._clock(), 0

    def _rate(self) -> float:
        return self._n_done / max(1e-9, self._clock() - self._began_s)
