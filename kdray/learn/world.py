"""The processes that share one training run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, distributed, nn

from kdray.net import Net


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Args:
        rank: Its number, from 0.
        size: How many there are.
        device: Where it computes.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process validates, decides and writes."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """Return the leading process's ``value`` in every process."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device(self.device))
        return box[0]

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` over all processes, in every process."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def parallel(self, net: Net) -> Net:
        """Return the net with gradients averaged over all processes."""
        return net if self.size == 1 else replace(net, parallel=self.wrap(net.module))

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module to call instead of ``module``: gradients averaged over all processes."""
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(
            module, device_ids=[self.device] if self.device.startswith("cuda") else None
        )
