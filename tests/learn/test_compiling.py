from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from kdray.data import Dataset
from kdray.errors import RunError
from kdray.learn import Fitted, Hooks, Labels, Live, Objective, Taught, fit
from kdray.learn.compiling import compiled
from kdray.spec.experiment import Train
from tests.learn.small import Adapted, make_batches, small_net

Compile = Callable[..., Any]


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compile without generating code, as a C++ compiler would take most of a minute."""
    seen: list[str] = []
    whole = torch.compile

    def traced(module: nn.Module, *, mode: str, dynamic: bool) -> Any:
        seen.append(mode)
        return whole(module, backend="aot_eager", dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/compiler")
    return seen


def train(dataset: Dataset, compile: bool, hooks: Hooks | None = None) -> Fitted:
    torch.manual_seed(1)
    settings = Train(epochs=3, learning_rate=0.01, compile=compile)
    return fit(small_net(), Labels(), make_batches(dataset), settings, "macro_f1", hooks)


def test_a_compiled_net_learns_the_same_under_the_same_names(
    dataset: Dataset, modes: list[str]
) -> None:
    plain, other = train(dataset, compile=False), train(dataset, compile=True)
    assert modes == ["default"]
    assert list(other.state) == list(plain.state)
    for name, value in plain.state.items():
        torch.testing.assert_close(other.state[name], value, rtol=1e-3, atol=1e-4)


def test_a_cut_compiled_run_ends_with_the_weights_of_an_undisturbed_one(
    dataset: Dataset, modes: list[str]
) -> None:
    states: list[bytes] = []
    stopping = Hooks(save=states.append, epoch=lambda epoch, best: epoch.epoch >= 2)
    train(dataset, compile=True, hooks=stopping)
    resumed = train(dataset, compile=True, hooks=Hooks(load=lambda: states[-1]))
    whole = train(dataset, compile=True)
    for name, value in whole.state.items():
        assert torch.equal(resumed.state[name], value)


def test_a_net_whose_maps_are_looked_at_runs_as_it_is(dataset: Dataset, modes: list[str]) -> None:
    student, teacher = small_net(), small_net()
    objective: Objective = Taught(Adapted(), Live(teacher), student, torch.zeros(1, 1, 12, 12))
    assert objective.looks_inside
    fit(student, objective, make_batches(dataset), Train(epochs=1, compile=True))
    assert modes == []


def test_small_nets_on_a_gpu_run_as_graphs(modes: list[str]) -> None:
    large = nn.Linear(1, 1)
    large.weight = nn.Parameter(torch.empty(1, 10_000_001, device="meta"))
    compiled(nn.Linear(2, 2), "cuda:0")
    compiled(large, "cuda:0")
    assert modes == ["reduce-overhead", "default"]


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RunError, match=r"no C\+\+ compiler.*compile: false"):
        compiled(nn.Linear(2, 2), "cpu")
