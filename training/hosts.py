"""The hosts of one run: `torchrun` starts the same program on each, and tells it by RANK and WORLD_SIZE who it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torchmetrics.utilities.distributed import gather_all_tensors

from training.errors import HostGone

# The others wait while the leader exports and tests the model. A host that dies is noticed at once, not by this.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Hosts:
    """How many there are, and which one this is. The first leads: it alone saves, exports and reports.

    What needs the others raises HostGone when one of them is gone.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the host that writes."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This host's part of some rows: each row is one host's, and nobody's twice. It may be empty."""
        return rows[self.rank :: self.count]

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module such that its gradients become the mean of all hosts'; parameters begin as the leader's."""
        if self.count == 1:
            return module
        with together():
            return DistributedDataParallel(module)

    def gather(self, part: Tensor) -> Tensor:
        """The parts [n, …] of all hosts one after the other, on each of them. They may differ in n."""
        if self.count == 1:
            return part
        with together():
            parts: list[Tensor] = gather_all_tensors(part.contiguous())
        return torch.cat([one for one in parts if one.numel()] or parts)

    def gather_text(self, text: str) -> str:
        """The texts of all hosts one after the other."""
        content = torch.frombuffer(bytearray(text.encode() + b"\n"), dtype=torch.uint8)
        return bytes(self.gather(content).tolist()).decode()

    def add_up(self, figures: Tensor) -> Tensor:
        """The sum of what all hosts have."""
        if self.count > 1:
            with together():
                dist.all_reduce(figures)
        return figures

    def wait(self) -> None:
        """Go on when all hosts have come here."""
        if self.count > 1:
            with together():
                dist.barrier()


@contextmanager
def together() -> Iterator[None]:
    """Do what needs all hosts. Raises HostGone when one is gone."""
    try:
        yield
    except RuntimeError as error:
        if not any(name in str(error).lower() for name in ("gloo", "nccl", "connection")):
            raise
        raise HostGone(
            f"Another host of this run is gone; its own log says why ({str(error).splitlines()[0]})."
        ) from None


@contextmanager
def join_hosts() -> Iterator[Hosts]:
    """Find the other hosts, if there are any: over NCCL between GPUs, else over gloo."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Hosts()
        return
    with together():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield Hosts(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
