from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdray.data import Dataset
from kdray.errors import RunError
from kdray.learn import Batch, Epoch, Fitted, Hooks, Labels, Live, Objective, Taught, fit
from kdray.net import Net
from kdray.spec.experiment import Train
from tests.learn.small import Adapted, ToTeacher, make_batches, small_net

SETTINGS = Train(epochs=4, learning_rate=0.01)


class Disk:
    """Keeps the states that a run saves."""

    def __init__(self) -> None:
        self.states: list[bytes] = []

    def hooks(self, stop_after: int = 99) -> Hooks:
        return Hooks(
            load=lambda: self.states[-1] if self.states else None,
            save=self.states.append,
            epoch=lambda epoch, best: epoch.epoch >= stop_after,
        )


def train(dataset: Dataset, settings: Train = SETTINGS, hooks: Hooks | None = None) -> Fitted:
    torch.manual_seed(1)
    return fit(small_net(), Labels(), make_batches(dataset), settings, "macro_f1", hooks)


def same(one: Fitted, other: Fitted) -> bool:
    return all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_training_learns_what_can_be_learnt(dataset: Dataset) -> None:
    fitted = train(dataset, Train(epochs=25, learning_rate=0.02))
    assert fitted.validation["accuracy"] > 0.8
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss


def test_the_same_seed_gives_the_same_weights(dataset: Dataset) -> None:
    assert same(train(dataset), train(dataset))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_cut_after_an_epoch_ends_with_the_weights_of_an_undisturbed_one(
    dataset: Dataset, cut: int
) -> None:
    disk = Disk()
    train(dataset, hooks=disk.hooks(stop_after=cut))
    torch.manual_seed(77)
    resumed = train(dataset, hooks=disk.hooks())
    whole = train(dataset)
    assert same(resumed, whole)
    assert [epoch.validation for epoch in resumed.epochs] == [
        epoch.validation for epoch in whole.epochs
    ]


def test_a_resumed_run_tells_of_the_epochs_before_again(dataset: Dataset) -> None:
    disk, told = Disk(), []
    train(dataset, hooks=disk.hooks(stop_after=2))

    def tell(epoch: Epoch, best: int) -> bool:
        told.append(epoch.epoch)
        return False

    train(dataset, hooks=Hooks(disk.hooks().load, disk.states.append, tell))
    assert told == [1, 2, 3, 4]


def test_the_weights_kept_are_those_of_the_best_epoch(dataset: Dataset) -> None:
    fitted = train(dataset, Train(epochs=8, learning_rate=0.02))
    scores = [epoch.validation["macro_f1"] for epoch in fitted.epochs]
    assert fitted.best_epoch == int(np.argmax(scores)) + 1
    net = small_net()
    net.module.load_state_dict(fitted.state)
    logits, labels = make_batches(dataset).logits(net, "val")
    assert (logits.argmax(1) == labels).mean() == pytest.approx(fitted.validation["accuracy"])


def test_patience_ends_a_run_that_gets_no_better(dataset: Dataset) -> None:
    fitted = train(dataset, Train(epochs=50, learning_rate=1e-9, patience=3))
    assert len(fitted.epochs) == fitted.best_epoch + 3


def test_batch_norm_statistics_move_once_a_step(dataset: Dataset) -> None:
    net, batches = small_net(), make_batches(dataset)
    fit(net, Labels(), batches, SETTINGS)
    norm = net.module[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert int(norm.num_batches_tracked or 0) == 4 * batches.steps


def adapted(dataset: Dataset, hooks: Hooks | None = None) -> tuple[Fitted, Taught]:
    """Train with an adapter, from seeds."""
    torch.manual_seed(5)
    student, teacher = small_net(), small_net()
    taught = Taught(Adapted(), Live(teacher), student, torch.zeros(1, 1, 12, 12), seed=3)
    return fit(student, taught, make_batches(dataset), SETTINGS, "macro_f1", hooks), taught


def test_a_teacher_stays_as_it_was_to_the_last_byte(dataset: Dataset) -> None:
    teacher = small_net()
    teacher.module.train()
    before = {name: value.clone() for name, value in teacher.module.state_dict().items()}
    student = small_net()
    objective = Taught(ToTeacher(), Live(teacher), student, torch.zeros(1, 1, 12, 12))
    fit(student, objective, make_batches(dataset), SETTINGS)
    assert not teacher.module.training
    for name, value in teacher.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in teacher.module.parameters())


class Broken(Objective):
    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        return {"broken": net.module(batch.images).sum() * float("inf")}


def test_a_loss_that_is_not_finite_ends_the_run_with_advice(dataset: Dataset) -> None:
    with pytest.raises(RunError, match=r"epoch 1: the loss term 'broken' is not finite.*Lower"):
        fit(small_net(), Broken(), make_batches(dataset), SETTINGS)


def test_float16_without_a_gpu_is_refused(dataset: Dataset) -> None:
    with pytest.raises(RunError, match="float16 needs a GPU"):
        train(dataset, Train(precision="float16"))


def test_bfloat16_trains(dataset: Dataset) -> None:
    fitted = train(dataset, Train(epochs=20, learning_rate=0.02, precision="bfloat16"))
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss


def test_the_progress_told_is_the_share_of_steps_done(dataset: Dataset) -> None:
    student, batches, method = small_net(), make_batches(dataset), ToTeacher()
    fit(
        student,
        Taught(method, Live(small_net()), student, torch.zeros(1, 1, 12, 12)),
        batches,
        SETTINGS,
    )
    total = 4 * batches.steps
    assert method.progress == [step / total for step in range(total)]


@pytest.mark.parametrize("cut", [1, 3])
def test_a_cut_run_goes_on_with_the_progress_it_had(dataset: Dataset, cut: int) -> None:
    disk, told = Disk(), []
    for stop_after in (cut, 99):
        student, method, batches = small_net(), ToTeacher(), make_batches(dataset)
        taught = Taught(method, Live(small_net()), student, torch.zeros(1, 1, 12, 12))
        fit(student, taught, batches, SETTINGS, "macro_f1", disk.hooks(stop_after))
        told += method.progress
    total = 4 * make_batches(dataset).steps
    assert told == [step / total for step in range(total)]


def test_adapters_are_trained_with_the_student_and_not_published(dataset: Dataset) -> None:
    fitted, taught = adapted(dataset)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        start = nn.Conv2d(6, 6, 1)
    assert taught.adapters is not None
    assert not torch.equal(start.weight, taught.adapters.state_dict()["weight"])
    assert list(fitted.state) == list(small_net().module.state_dict())


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_cut_run_with_adapters_ends_with_the_weights_of_an_undisturbed_one(
    dataset: Dataset, cut: int
) -> None:
    disk = Disk()
    adapted(dataset, disk.hooks(stop_after=cut))
    resumed, with_adapters = adapted(dataset, disk.hooks())
    whole, undisturbed = adapted(dataset)
    assert same(resumed, whole)
    assert with_adapters.adapters is not None
    assert undisturbed.adapters is not None
    for name, value in undisturbed.adapters.state_dict().items():
        assert torch.equal(with_adapters.adapters.state_dict()[name], value)


def test_the_sample_look_leaves_the_student_and_the_random_numbers_as_they_were() -> None:
    student, teacher = small_net(), small_net()
    student.module.train()
    before = {name: value.clone() for name, value in student.module.state_dict().items()}
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    Taught(Adapted(), Live(teacher), student, torch.ones(1, 1, 12, 12), seed=3)
    assert torch.equal(torch.rand(3), expected)
    assert student.module.training
    for name, value in student.module.state_dict().items():
        assert torch.equal(value, before[name])


class Watched(Dataset):
    """A data set that writes down which images are read and which splits are asked for."""

    def split(self, name: str) -> np.ndarray:
        vars(self).setdefault("splits_asked", set()).add(name)
        return super().split(name)

    def images(self, indices: np.ndarray) -> np.ndarray:
        vars(self).setdefault("read", set()).update(np.asarray(indices).tolist())
        return super().images(indices)


def test_training_never_touches_the_test_split(dataset: Dataset, dataset_folder: Path) -> None:
    watched = Watched.open(dataset_folder)
    train(watched, Train(epochs=3))
    assert vars(watched)["splits_asked"] == {"train", "val"}
    assert not vars(watched)["read"] & set(dataset.split("test").tolist())


def test_binary_cross_entropy_takes_each_class_against_the_rest() -> None:
    images, labels = torch.randn(4, 1, 12, 12), torch.tensor([0, 2, 1, 2])
    net = small_net()
    net.module.eval()
    z = net.module(images).detach().double().numpy()
    p = 1 / (1 + np.exp(-z))
    each = [
        -np.log(p[i, k] if k == label else 1 - p[i, k])
        for i, label in enumerate(labels.tolist())
        for k in range(3)
    ]
    terms = Labels(loss="bce")(net, Batch(images, labels))
    assert list(terms) == ["bce"]
    assert terms["bce"].item() == pytest.approx(np.mean(each), rel=1e-5)
    weights = np.array([1.0, 2.0, 4.0])
    shares = weights[labels.numpy()] / weights[labels.numpy()].sum()
    expected = (np.array(each).reshape(4, 3).mean(1) * shares).sum()
    weighed = Labels(torch.from_numpy(weights).float(), "bce")(net, Batch(images, labels))
    assert weighed["bce"].item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_weigh_the_rare_class_more(dataset: Dataset) -> None:
    images, labels = torch.zeros(2, 1, 12, 12), torch.tensor([0, 2])
    net = small_net()
    net.module.eval()
    plain = Labels()(net, Batch(images, labels))["cross_entropy"]
    logits = net.module(images)
    log_p = logits.log_softmax(1)
    weights = torch.tensor([1.0, 1.0, 3.0])
    expected = -(log_p[0, 0] + 3 * log_p[1, 2]) / 4
    assert Labels(weights)(net, Batch(images, labels))["cross_entropy"].item() == pytest.approx(
        expected.item()
    )
    assert plain != expected
