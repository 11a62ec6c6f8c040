"""A student taught from records learns what it would have learnt from the teacher itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdray import parts
from kdray.data import Dataset, Pool, Views, training_pool
from kdray.distill import DistillationMethod
from kdray.errors import ModelError
from kdray.knowledge.outline import Outline
from kdray.learn import Batch, Batches, Live, Mean, Recorded, Taught, Teacher, World, fit
from kdray.net import Net
from kdray.spec.experiment import Train
from kdray.store import Store
from tests.distill.small import small_net
from tests.knowledge.recording import Dtype, asked, knowledge, method, record

NEEDS = {name: parts.header("distill", name).constants["NEEDS"] for name in parts.names("distill")}
TAUGHT = [name for name in NEEDS if NEEDS[name]]
LOGITS = [name for name in TAUGHT if NEEDS[name] == ("logits",)]
LOOKING = [(name, {}) for name in TAUGHT if name not in LOGITS]
BITS = ("dfkd", {"mask": "straight_through", "record": "bits", "kappa": 1.0})
Named = tuple[str, dict[str, Any]]


@pytest.fixture
def pool(dataset: Dataset) -> Pool:
    """Return 24 images: one batch of training is one batch of recording."""
    return training_pool(dataset, per_class=6)


@pytest.fixture
def recorded(store: Store, views: Views) -> Callable[..., Recorded]:
    """Return a function that records a teacher for a method and reads it."""

    def make(
        taught: DistillationMethod,
        teacher: Net,
        pool: Pool,
        dtype: Dtype = "float16",
        key: str = "k",
    ) -> Recorded:
        wanted = [asked(taught, small_net(seed=1), teacher, dtype)]
        record(store, teacher, wanted, pool, views, key)
        facts = json.loads(json.dumps(Outline.of(teacher, 1, 16).as_json()))
        return Recorded(Outline.from_json(facts), knowledge(store, wanted, pool, views, key))

    return make


def batches(pool: Pool, views: Views, batch_size: int = 32) -> Batches:
    return Batches(pool.dataset, views, batch_size, 5, World(), pool)


def first(pool: Pool, views: Views, batch_size: int = 32) -> Batch:
    return next(batches(pool, views, batch_size).epoch(2))


def step(named: Named, teacher: Teacher, batch: Batch) -> dict[str, Tensor]:
    """Return the terms of one step of a student, and its gradients."""
    student = small_net(seed=1)
    taught = Taught(method(named[0], **named[1]), teacher, student, torch.zeros(1, 1, 16, 16), 7)
    taught.begin(0.25)
    terms = taught(student, batch)
    torch.stack(list(terms.values())).sum().backward()
    trained = {**dict(student.module.named_parameters())}
    if taught.adapters is not None:
        trained |= {f"adapters {name}": one for name, one in taught.adapters.named_parameters()}
    found = {name: one.grad for name, one in trained.items() if one.grad is not None}
    return {**{f"term {name}": term.detach() for name, term in terms.items()}, **found}


def trained(
    named: Named, teacher: Teacher, pool: Pool, views: Views, precision: Any = "float32"
) -> dict[str, Tensor]:
    """Return the weights and the losses of a student after four epochs."""
    student = small_net(seed=1)
    taught = Taught(method(named[0], **named[1]), teacher, student, torch.zeros(1, 1, 16, 16), 7)
    settings = Train(epochs=4, learning_rate=0.01, precision=precision)
    fitted = fit(student, taught, batches(pool, views), settings)
    losses = torch.tensor([epoch.train_loss for epoch in fitted.epochs])
    return {**student.module.state_dict(), "losses": losses}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("named", [*((name, {}) for name in TAUGHT), BITS], ids=str)
@pytest.mark.parametrize("attends", [False, True])
def test_a_recorded_step_is_the_live_step_to_the_last_bit(
    named: Named, attends: bool, recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    teacher = small_net(seed=2, attends=attends)
    batch = first(pool, views)
    from_records = recorded(method(named[0], **named[1]), teacher, pool, "float32")
    assert_same(step(named, from_records, batch), step(named, Live(teacher), batch))


@pytest.mark.parametrize("name", LOGITS)
def test_a_method_of_logits_is_exact_whatever_the_numbers_of_maps(
    name: str, recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    teacher, batch = small_net(seed=2), first(pool, views)
    from_records = recorded(method(name), teacher, pool, "float16")
    assert_same(step((name, {}), from_records, batch), step((name, {}), Live(teacher), batch))


@pytest.mark.parametrize("named", LOOKING, ids=str)
def test_float16_maps_change_loss_and_gradient_by_a_thousandth(
    named: Named, recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    teacher, batch = small_net(seed=2, width=1), first(pool, views)
    ours = step(named, recorded(method(named[0]), teacher, pool, "float16"), batch)
    exact = step(named, Live(teacher), batch)
    for name, value in exact.items():
        apart = float((ours[name] - value).norm())
        assert apart <= 1e-3 * float(value.norm()) + 1e-5, name


@pytest.mark.parametrize("named", [("kd", {}), *LOOKING, BITS], ids=str)
def test_a_run_of_several_epochs_is_the_live_run_to_the_last_bit(
    named: Named, recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    teacher = small_net(seed=2)
    from_records = recorded(method(named[0], **named[1]), teacher, pool, "float32")
    assert_same(
        trained(named, from_records, pool, views), trained(named, Live(teacher), pool, views)
    )


def test_a_teacher_is_exact_whatever_the_precision_of_the_student(
    recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    named, teacher = ("kd", dict[str, Any]()), small_net(seed=2)
    teachers = (recorded(method("kd"), teacher, pool), Live(teacher))
    ours, live = (trained(named, one, pool, views, "bfloat16") for one in teachers)
    assert_same(ours, live)


@pytest.mark.parametrize("balance", ["none", "sampling", "smote"])
def test_other_batches_and_pools_differ_by_rounding_alone(
    balance: Any, recorded: Callable[..., Recorded], dataset: Dataset, views: Views
) -> None:
    pool, teacher = training_pool(dataset, balance=balance), small_net(seed=2)
    from_records = recorded(method("kd"), teacher, pool)
    from_records.ask(*_asked())
    live = Live(teacher)
    for epoch in (1, 2, 3):
        for batch in batches(pool, views, 5).epoch(epoch):
            ours, exact = from_records.look(batch).logits, live.look(batch).logits
            np.testing.assert_allclose(ours.numpy(), exact.numpy(), rtol=1e-4, atol=1e-6)


def _asked() -> tuple[Any, Any]:
    taught = method("kd")
    return taught.wants(small_net(), small_net())[1], taught.reduce


def test_each_view_has_its_own_record(
    recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    from_records = recorded(method("kd"), small_net(seed=2), pool)
    batch = first(pool, views)
    other = replace(batch, views=1 - batch.views)
    assert not torch.equal(from_records.look(batch).logits, from_records.look(other).logits)


def test_records_without_what_the_method_takes_are_refused(
    recorded: Callable[..., Recorded], pool: Pool
) -> None:
    few = recorded(method("dfkd"), small_net(seed=2), pool)
    for name, params, lacking in (
        ("ikd", {}, "map/stage1"),
        ("dfkd", {"mask": "hard", "record": "bits"}, "map/texture.above-3.0"),
    ):
        with pytest.raises(ModelError, match=f"records have no column {lacking}"):
            Taught(method(name, **params), few, small_net(), torch.zeros(1, 1, 16, 16))


def test_an_ensemble_is_the_mean_of_its_members_recorded_or_live(
    recorded: Callable[..., Recorded], pool: Pool, views: Views
) -> None:
    nets, batch = [small_net(seed=seed) for seed in (2, 3)], first(pool, views)
    records = [recorded(method("kd"), net, pool, key=str(seed)) for seed, net in enumerate(nets)]
    live = [Live(net) for net in nets]
    both = [one.look(batch).logits.numpy() for one in live]
    for members in (records, live, [records[0], live[1]]):
        mean = Mean(members)
        mean.ask(*_asked())
        np.testing.assert_allclose(mean.look(batch).logits.numpy(), sum(both) / 2, rtol=1e-6)
    assert_same(
        step(("fbce_mse", {}), Mean(records), batch), step(("fbce_mse", {}), Mean(live), batch)
    )


@pytest.mark.parametrize("name", ["dfkd", "hdkd", "ikd", "cskd"])
def test_an_ensemble_has_nothing_but_logits(name: str) -> None:
    members = [Live(small_net(seed=seed)) for seed in (2, 3)]
    with pytest.raises(ModelError):
        Taught(method(name), Mean(members), small_net(), torch.zeros(1, 1, 16, 16))


def test_a_live_teacher_shows_no_more_than_its_reduced_look(pool: Pool, views: Views) -> None:
    live, taught, net = Live(small_net(seed=2)), method("dfkd"), small_net()
    live.ask(taught.wants(net, net)[1], taught.reduce)
    seen = live.look(first(pool, views))
    assert sorted(seen.maps) == ["shape.moments", "shape.peak", "texture.moments", "texture.peak"]
    assert not seen.logits.requires_grad
