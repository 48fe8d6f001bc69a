"""The processes of a training run: one, or several that `torchrun` started."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from .args import TrainerArgs

__all__ = ["Processes"]


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
        device: Device of this process.
    """

    rank: int
    world: int
    device: torch.device

    @classmethod
    def of(cls, args: TrainerArgs) -> Processes:
        """Return the processes that `torchrun` started, or else this one alone.

        Raises:
            ValueError: There are fewer GPUs than the arguments ask for, the number of processes
                differs, or the batch cannot be divided among them.
        """
        world = int(os.environ.get("WORLD_SIZE", "1"))
        device = _device_of(args, world)
        if args.batch_size % world:
            msg = f"batch_size must be a multiple of the {world} processes, got {args.batch_size}"
            raise ValueError(msg)
        if world > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank() if world > 1 else 0, world, device)

    @property
    def is_first(self) -> bool:
        """Whether this process evaluates and writes files."""
        return self.rank == 0

    def wrapped(self, module: torch.nn.Module, args: TrainerArgs) -> torch.nn.Module:
        """Return a module that averages gradients over the processes."""
        if self.world == 1:
            return module
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module,
            device_ids=ids,
            broadcast_buffers=args.ddp_broadcast_buffers,
            find_unused_parameters=args.ddp_find_unused,
        )

    def shared(self, value: Any) -> Any:
        """Return a value of the first process in all processes."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def agreed_seed(self) -> int:
        """Return a random seed, the same in all processes."""
        return int(self.shared(random.SystemRandom().randrange(1 << 31)))

    def any(self, value: bool) -> bool:
        """Return whether a value is true in any process."""
        if self.world == 1:
            return value
        number = torch.tensor(int(value), device=self.device)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return bool(number)

    def averaged(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """Return the means of values over the processes."""
        if self.world == 1:
            return values
        numbers = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(numbers)
        return dict(zip(values, (numbers / self.world).tolist(), strict=True))


def _device_of(args: TrainerArgs, world: int) -> torch.device:
    """Return the device of this process."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = args.device
    if name not in ("auto", "cpu") and not name.startswith("cuda"):
        msg = f"device must be auto, cpu, cuda or cuda:N, got {name!r}"
        raise ValueError(msg)
    gpus = args.num_gpus
    if gpus is None:
        gpus = 0 if name == "cpu" or not available else max(world, 1)
    if gpus > available:
        msg = f"num_gpus is {gpus}, but there are {available} GPUs: expected at most {available}"
        raise ValueError(msg)
    if name.startswith("cuda") and not gpus:
        msg = f"device is {name!r}, but there are {available} GPUs and num_gpus is {gpus}"
        raise ValueError(msg)
    if gpus and name != "cpu" and gpus != world:
        msg = (
            f"num_gpus is {gpus}, but {world} process runs: start the program with "
            f"torchrun --nproc-per-node {gpus}"
        )
        raise ValueError(msg)
    if name == "cpu" or not gpus:
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    index = int(name.partition(":")[2] or local) if world == 1 else local
    if index >= available:
        msg = f"device is {name!r}, but there are {available} GPUs"
        raise ValueError(msg)
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
