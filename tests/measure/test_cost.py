from __future__ import annotations

import json
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from kdray.measure import cost, costs
from kdray.measure.cost import macs_ptflops
from kdray.net import Net


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(images)).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def small() -> Small:
    return Small()


@pytest.fixture(scope="module")
def found(small: Small) -> dict[str, float]:
    small.train()
    small.conv.weight.requires_grad_(False)
    return cost(Net(small), channels=3, image_size=8, repeats=3, threads=1)


def test_parameters_are_counted_by_hand_frozen_ones_too(found: dict[str, float]) -> None:
    assert found["parameters"] == (3 * 4 * 9 + 4) + (4 + 4) + (4 * 5 + 5)


def test_macs_are_counted_by_hand(found: dict[str, float]) -> None:
    assert found["macs"] == 8 * 8 * 9 * 3 * 4 + 4 * 5


def test_fused_attention_counts() -> None:
    class Attention(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            tokens = images.flatten(2)[:, None]  # [B, 1, N, D]
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    # N = 3 tokens of D = 64: scores N * N * D, and the weighted sum N * N * D again.
    assert cost(Net(Attention()), channels=3, image_size=8, repeats=1)["macs"] == 2 * 3 * 3 * 64


def test_the_file_holds_four_bytes_a_number_and_a_header(found: dict[str, float]) -> None:
    # Weights, two running statistics of 4 numbers, and a 64-bit counter.
    numbers = 4 * (found["parameters"] + 8) + 8
    assert numbers < found["file_mb"] * 1e6 < numbers + 1000


def test_tied_weights_are_stored_once() -> None:
    first = nn.Linear(64, 64)
    module = nn.Sequential(nn.Flatten(), first, first)
    assert cost(Net(module), channels=1, image_size=8, repeats=1)["file_mb"] * 1e6 < 5 * 64 * 65


def test_latency_is_in_milliseconds_at_the_stated_threads(found: dict[str, float]) -> None:
    assert 0 < found["latency_ms"] < 1000
    assert found["threads"] == 1


def test_the_median_ignores_one_slow_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 1.0, 3.0, 3.0, 99.0])
    clock = SimpleNamespace(perf_counter=lambda: next(times))
    monkeypatch.setattr(import_module("kdray.measure.cost"), "time", clock)
    assert cost(Net(Small()), channels=3, image_size=8, repeats=3)["latency_ms"] == 2000.0


def test_the_net_and_the_thread_count_are_left_as_they_were(small: Small) -> None:
    small.train()
    before, threads = small.norm.running_mean.clone(), torch.get_num_threads()
    cost(Net(small), channels=3, image_size=8, repeats=1, threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert small.training
    assert torch.equal(small.norm.running_mean, before)


def test_the_cost_is_plain_json(found: dict[str, float]) -> None:
    assert json.loads(json.dumps(found)) == found


def test_ptflops_adds_normalisation_and_biases_by_hand(found: dict[str, float]) -> None:
    conv, norm, head = 8 * 8 * 4 * (9 * 3 + 1), 8 * 8 * 4 * 2, 5 * (4 + 1)
    assert found["macs_ptflops"] == conv + norm + head
    assert found["macs_ptflops_missing"] == ""


def test_counting_leaves_torch_as_it_was(small: Small) -> None:
    before = (torch.add, torch.matmul, nn.functional.relu, torch.Tensor.matmul)
    macs_ptflops(small, 3, 8)
    assert (torch.add, torch.matmul, nn.functional.relu, torch.Tensor.matmul) == before


def test_what_ptflops_cannot_count_has_a_reason_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Refusing(Small):
        def forward(self, images: Tensor) -> Tensor:
            if hasattr(self, "start_flops_count"):  # what ptflops adds
                raise RuntimeError("not for counters")
            return super().forward(images)

    found = cost(Net(Refusing()), channels=3, image_size=8, repeats=1)
    assert found["macs_ptflops"] is None
    assert found["macs_ptflops_missing"] == (
        "ptflops cannot count it: RuntimeError: not for counters"
    )
    assert capfd.readouterr() == ("", "")


def test_some_costs_alone_are_those_of_all(small: Small, found: dict[str, float]) -> None:
    names = ("macs", "parameters", "file_mb")
    some = costs(Net(small), names, channels=3, image_size=8)
    assert some == {name: found[name] for name in names}
