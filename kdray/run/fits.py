"""Training runs on Ray Train: one worker group takes many runs, one after the other."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any

import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from kdray.errors import KdrayError, RunError
from kdray.learn import World
from kdray.run import training
from kdray.run.relay import Relay
from kdray.run.session import Share
from kdray.run.training import Assignment
from kdray.store import Store


def run_fits(
    work: Sequence[Assignment],
    store: Store,
    relay: Relay,
    share: Share,
    workers: int,
    max_failures: int,
) -> None:
    """Train all assignments that have no result yet, in order, in one worker group.

    A worker that dies is replaced; its run continues from the last checkpoint. A group that is
    started again passes over the finished runs.

    Args:
        work: The training runs.
        store: The storage.
        relay: Takes the workers' events.
        share: What each worker gets.
        workers: Processes that share each run.
        max_failures: Deaths of workers that are survived.

    Raises:
        RunError: A run failed for a reason that another try would not mend, or too many deaths.
    """
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "work": list(work),
            "store": store.uri,
            "relay": relay,
            "device": share.device,
            "threads": share.threads,
        },
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=share.gpus > 0, resources_per_worker=share.as_ray()
        ),
        run_config=RunConfig(
            name=uuid.uuid4().hex,  # resuming is by the storage's keys, not by Ray's run
            storage_path=_ray_folder(store),
            failure_config=FailureConfig(max_failures=max_failures),
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise RunError(
            work[0].step, f"the workers failed {max_failures + 1} times: {error}."
        ) from error
    finally:
        store.delete("work/ray")
    _raise_failure(work, store)


def _ray_folder(store: Store) -> str:
    return store.path("work/ray") if store.is_local else f"{store.uri.split('?')[0]}/work/ray"


def _worker(config: dict[str, Any]) -> None:
    torch.set_num_threads(config["threads"])
    context = ray.train.get_context()
    device = ray.train.torch.get_device() if config["device"] == "cuda" else "cpu"
    world = World(context.get_world_rank(), context.get_world_size(), str(device))
    store, relay = Store(config["store"]), config["relay"]
    for work in config["work"]:
        if world.share(store.result(work.path) is not None if world.leads else None):
            continue
        if world.leads:
            relay(
                {"kind": "run_started", "step": work.step, "run": work.label, "pid": os.getpid()}
            )
        try:
            net, fitted = training.run(work, store, world, relay)
        except KdrayError as error:
            if world.leads:
                store.write_json(
                    f"work/{work.key}/error.json", [error.where, error.problem, error.remedy]
                )
            return  # another try would fail the same way
        if world.leads:
            training.publish(work, store, net, fitted)
            relay({"kind": "run_finished", "step": work.step, "run": work.label})
    ray.train.report({"runs": len(config["work"])})


def _raise_failure(work: Sequence[Assignment], store: Store) -> None:
    for item in work:
        if store.result(item.path) is None:
            found = store.read_json(f"work/{item.key}/error.json")
            store.delete(f"work/{item.key}/error.json")
            if found is not None:
                raise RunError(f"{item.label}: {found[0]}", *found[1:])
            raise RunError(item.label, "ended without a result.", "Run the same command again.")
