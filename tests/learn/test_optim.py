from __future__ import annotations

import math

import pytest
import torch

from kdray.learn.optim import optimizer, rate_at
from kdray.spec.experiment import Train


def test_the_rate_rises_linearly_then_falls_as_half_a_cosine() -> None:
    settings = Train(epochs=4, learning_rate=1.0, warmup_epochs=1)
    rates = [rate_at(step, 10, settings) for step in range(40)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[9] == pytest.approx(10 / 11)
    assert rates[10] == 1.0
    assert rates[25] == pytest.approx(0.5)
    assert rates[39] == pytest.approx(0.5 * (1 + math.cos(math.pi * 29 / 30)))


def test_warm_up_and_cosine_end_at_the_given_rates() -> None:
    settings = Train(
        epochs=4,
        learning_rate=5e-5,
        warmup_epochs=1,
        warmup_learning_rate=1e-5,
        min_learning_rate=2e-5,
    )
    rates = [rate_at(step, 10, settings) for step in range(41)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[5] == pytest.approx(3e-5)
    assert rates[10] == pytest.approx(5e-5)
    assert rates[25] == pytest.approx(3.5e-5)
    assert rates[40] == pytest.approx(2e-5)


def test_a_constant_schedule_stays_at_its_peak() -> None:
    settings = Train(epochs=3, learning_rate=0.2, schedule="constant")
    assert {rate_at(step, 5, settings) for step in range(15)} == {0.2}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_each_optimizer_gets_rate_and_decay(name: str, kind: type) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    made = optimizer([weight], Train(optimizer=name, learning_rate=0.3, weight_decay=0.02))
    assert type(made) is kind
    assert made.param_groups[0]["lr"] == 0.3
    assert made.param_groups[0]["weight_decay"] == 0.02
