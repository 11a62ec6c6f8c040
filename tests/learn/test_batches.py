from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from kdray.data import Dataset
from kdray.learn import Labels, Live, Taught, World, fit, images_at_once
from kdray.spec.experiment import Train
from tests.learn.small import Adapted, make_batches, small_net


def test_an_epoch_shows_each_training_image_once_in_even_batches(dataset: Dataset) -> None:
    batches = make_batches(dataset, batch_size=16)
    sizes = [len(batch.labels) for batch in batches.epoch(1)]
    assert sum(sizes) == len(dataset.split("train"))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 16


def test_the_order_changes_with_the_epoch_and_not_with_time(dataset: Dataset) -> None:
    def labels(epoch: int) -> list[int]:
        return torch.cat([batch.labels for batch in make_batches(dataset).epoch(epoch)]).tolist()

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)


def test_two_processes_share_each_batch_and_their_shares_sum_to_their_number(
    dataset: Dataset,
) -> None:
    whole = list(make_batches(dataset).epoch(3))
    halves = [list(make_batches(dataset, World(rank, 2)).epoch(3)) for rank in (0, 1)]
    for one, first, second in zip(whole, *halves, strict=True):
        both = torch.cat([first.images, second.images])
        assert sorted(both.sum((1, 2, 3)).tolist()) == sorted(one.images.sum((1, 2, 3)).tolist())
        assert first.share + second.share == pytest.approx(2)


def test_a_process_without_an_image_keeps_step_and_counts_for_nothing(dataset: Dataset) -> None:
    worlds = [list(make_batches(dataset, World(rank, 3), 2).epoch(1)) for rank in range(3)]
    images = len(dataset.split("train"))
    steps = list(zip(*worlds, strict=True))
    assert len(steps) == images / 2
    assert [[batch.counted for batch in step] for step in steps] == [[1, 1, 0]] * len(steps)
    assert [[batch.share for batch in step] for step in steps] == [[1.5, 1.5, 0.0]] * len(steps)
    assert {len(batch.labels) for step in steps for batch in step} == {1}


def _process(rank: int, port: int, dataset_folder: str, out: str) -> None:
    torch.set_num_threads(1)
    store = distributed.TCPStore("127.0.0.1", port, 2, rank == 0)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    state = _trained(Dataset.open(dataset_folder), World(rank, 2))
    if rank == 0:
        torch.save(state, out)
    distributed.barrier()
    distributed.destroy_process_group()
    # Without the interpreter's teardown, in which threads of gloo that still run abort a process.
    os._exit(0)


def _trained(dataset: Dataset, world: World) -> dict[str, Tensor]:
    torch.manual_seed(0)
    settings = Train(epochs=2, learning_rate=0.05, optimizer="sgd", schedule="constant")
    # Without batch norm: its statistics are those of each process's own images.
    student, other, teacher = (small_net(norm=False) for _ in range(3))
    taught = Taught(Adapted(), Live(teacher), student, torch.zeros(1, 1, 12, 12))
    states = {
        "taught": fit(student, taught, make_batches(dataset, world), settings).state,
        "alone": fit(other, Labels(), make_batches(dataset, world), settings).state,
    }
    assert taught.adapters is not None
    states["adapters"] = taught.adapters.state_dict()
    return {
        f"{run} {name}": value for run, state in states.items() for name, value in state.items()
    }


def test_two_processes_learn_the_weights_of_one_with_adapters_and_without(
    dataset: Dataset, dataset_folder: Path, tmp_path: Path
) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    out = str(tmp_path / "state.pt")
    multiprocessing.spawn(_process, (port, str(dataset_folder), out), nprocs=2)
    both, one = torch.load(out), _trained(dataset, World())
    for name, value in one.items():
        np.testing.assert_allclose(both[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-6)


def test_fewer_images_are_looked_at_together_when_they_are_large() -> None:
    sizes = (32, 224, 512, 1024, 4096)
    assert [images_at_once(size, "cuda:0") for size in sizes] == [256, 256, 64, 16, 1]
    assert [images_at_once(size) for size in sizes] == [256, 41, 8, 2, 1]
