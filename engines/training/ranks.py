"""One process for each device: who they are, and how they see one batch together."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TypeVar

import torch
from torch import Tensor, distributed, nn

from engines.errors import WrongUse

Module = TypeVar("Module", bound=nn.Module)
_PATIENCE = datetime.timedelta(hours=4)
"""How long ranks wait for each other: the first one judges the validation set while the others stand still."""


@dataclass(frozen=True)
class Ranks:
    """This process among `size`; alone, every call here is free."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all ranks; batch norms see the whole batch on CUDA devices."""
        if self.size == 1:
            return module
        if self.device != "cpu":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return nn.parallel.DistributedDataParallel(module)

    def gather(self, ours: Tensor) -> Tensor:
        """All ranks' rows in rank order; gradients flow to our own.

        A concordance is of the whole batch, not a mean of parts, so every rank computes the loss of the whole. Each
        then has the gradient of its own rows only: times `size`, since averaging divides by it.
        """
        if self.size == 1:
            return ours
        parts = [torch.empty_like(ours) for _ in range(self.size)]
        distributed.all_gather(parts, ours.detach().contiguous())
        parts[self.rank] = ours
        return torch.cat(parts)

    def agree(self, value: bool) -> bool:
        """The first rank's value, on every rank."""
        if self.size == 1:
            return value
        shared = torch.tensor([int(value)], device=self.device)
        distributed.broadcast(shared, 0)
        return bool(shared.item())

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1:
            distributed.destroy_process_group()


def join_ranks(device: str) -> Ranks:
    """This process's place, from the environment that torchrun or `launch` sets; alone where there is none.

    `device` is `auto`, `cpu` or `cuda`. Raises `WrongUse` when CUDA is asked for and not there.
    """
    size, rank, local = (int(os.environ.get(name, default)) for name, default in _PLACES)
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise WrongUse("device is cuda and torch sees no CUDA device here: set device to cpu or auto")
    on_cuda = has_cuda and device != "cpu"
    if on_cuda and local >= torch.cuda.device_count():
        raise WrongUse(f"there are {torch.cuda.device_count()} CUDA devices here and more were asked for")
    place = f"cuda:{local}" if on_cuda else "cpu"
    if on_cuda:
        torch.cuda.set_device(local)
    if size > 1:
        distributed.init_process_group("nccl" if on_cuda else "gloo", rank=rank, world_size=size, timeout=_PATIENCE)
    return Ranks(rank, size, place)


_PLACES = (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))


def launch(n: int, command: Sequence[str]) -> int:
    """Run `command` as n ranks on this machine and return the first exit code that is not 0, or 0.

    When one fails the others are ended. The first rank has the terminal; of another that fails first, what it said on
    standard error is repeated.
    """
    said: list[IO[bytes] | None] = [None, *(tempfile.TemporaryFile() for _ in range(n - 1))]  # noqa: SIM115 - closed below
    shared = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    running = [
        subprocess.Popen(
            list(command),
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL if rank else None,
            stderr=said[rank],
        )
        for rank in range(n)
    ]
    try:
        while (codes := [one.poll() for one in running]).count(None) and not any(codes):
            time.sleep(0.05)
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if failed is None:
            return 0
        file = said[failed]
        if file is not None:
            file.seek(0)
            sys.stderr.write(file.read().decode(errors="replace"))
        code = codes[failed] or 0
        return code if code > 0 else 128 - code
    finally:
        for one in running:
            if one.poll() is None:
                one.terminate()
        for one in running:
            one.wait()
        for opened in said:
            if opened is not None:
                opened.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
