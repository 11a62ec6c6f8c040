"""A group of Ray Train workers that share one run after the other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from kdray.errors import KdrayError
from kdray.learn import World
from kdray.run.relay import Relay
from kdray.run.scratch import lend
from kdray.run.session import limit_memory, lost
from kdray.run.shares import Share
from kdray.store import Store


@dataclass(frozen=True)
class Group:
    """What a group of workers is given.

    Args:
        store: The storage.
        relay: Takes the workers' events.
        share: What each worker gets.
        workers: Processes that share each run.
        max_failures: Deaths of workers that a run survives.
        scratch: Folder in the storage for Ray's own files, of this driver alone; removed.
    """

    store: Store
    relay: Relay
    share: Share
    workers: int
    max_failures: int
    scratch: str = "work/ray"

    def fit(
        self, worker: Callable[[dict[str, Any]], None], tries: int = 1, **given: object
    ) -> None:
        """Start the workers and wait until each has ended.

        Args:
            worker: What each does; gets what is given and the keys that ``join`` reads.
            tries: How often Ray starts the group.
            given: For the workers.

        Raises:
            ray.train.TrainingFailedError: Workers failed too often.
            StoreError: The storage refuses Ray.
        """
        with lend(self.store, self.scratch) as uri:
            TorchTrainer(
                worker,
                train_loop_config={
                    **given,
                    "store": self.store.uri,
                    "relay": self.relay,
                    "device": self.share.device,
                    "threads": self.share.threads,
                    "gpus": self.share.gpus,
                },
                scaling_config=ScalingConfig(
                    num_workers=self.workers,
                    use_gpu=self.share.gpus > 0,
                    resources_per_worker=self.share.as_ray(),
                ),
                run_config=RunConfig(
                    name=uuid.uuid4().hex,  # resuming is by the storage's keys, not by Ray's run
                    storage_path=uri,
                    failure_config=FailureConfig(max_failures=tries - 1),
                ),
            ).fit()


def join(config: Mapping[str, Any]) -> World:
    """Set a worker's process up, and return its place in the group."""
    torch.set_num_threads(config["threads"])
    context = ray.train.get_context()
    device = ray.train.torch.get_device() if config["device"] == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL, and whatever names no device
    limit_memory(str(device), config["gpus"])
    return World(context.get_world_rank(), context.get_world_size(), str(device))


def reason(error: ray.train.TrainingFailedError) -> str:
    """Return our own error among those of the workers, or all that Ray says."""
    failures = getattr(error, "worker_failures", {}).values()
    causes = [getattr(failure, "_base_exc", failure) for failure in failures]
    known = [str(cause) for cause in causes if isinstance(cause, KdrayError)]
    return known[0] if known else lost(error)
