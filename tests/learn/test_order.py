from __future__ import annotations

import pytest
import torch

from kdray.data import Dataset
from kdray.learn import Labels, fit
from kdray.learn.optim import optimizer
from kdray.models import lay_out
from kdray.net import Net
from kdray.spec.experiment import Train
from tests.learn.small import make_batches
from tests.models.test_layout import convolutional, is_last


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_an_optimizer_moves_weights_alike_in_both_orders_and_as_its_plain_form(name: str) -> None:
    settings = Train(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    plain, ours, last = (convolutional() for _ in range(3))
    lay_out(last, "cpu")
    optims = [optimizer(module.parameters(), settings) for module in (plain, ours, last)]
    optims[0].param_groups[0]["fused"] = False
    weights = list(zip(*(module.parameters() for module in (plain, ours, last)), strict=True))
    for _ in range(3):
        for alike in weights:
            gradient = torch.randn(alike[0].shape)
            for weight in alike:
                weight.grad = torch.empty_like(weight).copy_(gradient)
        for optim in optims:
            optim.step()
    for weight, *others in weights:
        for other in others:
            torch.testing.assert_close(other, weight, rtol=1e-5, atol=1e-6)


def test_training_lays_the_net_out_and_learns_the_same(dataset: Dataset) -> None:
    states = {}
    for order in ("auto", "channels_last", "contiguous"):
        module = convolutional()
        settings = Train(epochs=2, learning_rate=0.01, memory_format=order, optimizer="sgd")
        states[order] = fit(Net(module), Labels(), make_batches(dataset), settings).state
        assert is_last(module) is (order != "contiguous")
    for name, value in states["contiguous"].items():
        assert torch.equal(states["auto"][name], states["channels_last"][name])
        torch.testing.assert_close(states["auto"][name], value, rtol=1e-3, atol=1e-4)
