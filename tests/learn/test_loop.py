from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdray.data import Dataset
from kdray.errors import RunError
from kdray.learn import Epoch, Fitted, Hooks, Labels, Taught, fit
from kdray.net import Look, Net
from kdray.spec.experiment import Train
from tests.learn.small import make_batches, small_net

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


def to_teacher(student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
    assert teacher is not None
    assert not teacher.logits.requires_grad
    return {"match": (student.logits - teacher.logits).square().mean()}


def test_a_teacher_stays_as_it_was_to_the_last_byte(dataset: Dataset) -> None:
    teacher = small_net()
    teacher.module.train()
    before = {name: value.clone() for name, value in teacher.module.state_dict().items()}
    fit(small_net(), Taught(to_teacher, teacher), make_batches(dataset), SETTINGS)
    assert not teacher.module.training
    for name, value in teacher.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in teacher.module.parameters())


def test_a_loss_that_is_not_finite_ends_the_run_with_advice(dataset: Dataset) -> None:
    def broken(net: Net, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"broken": net.module(images).sum() * float("inf")}

    with pytest.raises(RunError, match=r"epoch 1: the loss term 'broken' is not finite.*Lower"):
        fit(small_net(), broken, make_batches(dataset), SETTINGS)


def test_float16_without_a_gpu_is_refused(dataset: Dataset) -> None:
    with pytest.raises(RunError, match="float16 needs a GPU"):
        train(dataset, Train(precision="float16"))


def test_bfloat16_trains(dataset: Dataset) -> None:
    fitted = train(dataset, Train(epochs=20, learning_rate=0.02, precision="bfloat16"))
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss


def test_class_weights_weigh_the_rare_class_more(dataset: Dataset) -> None:
    images, labels = torch.zeros(2, 1, 12, 12), torch.tensor([0, 2])
    net = small_net()
    net.module.eval()
    plain = Labels()(net, images, labels)["cross_entropy"]
    logits = net.module(images)
    log_p = logits.log_softmax(1)
    weights = torch.tensor([1.0, 1.0, 3.0])
    expected = -(log_p[0, 0] + 3 * log_p[1, 2]) / 4
    assert Labels(weights)(net, images, labels)["cross_entropy"].item() == pytest.approx(
        expected.item()
    )
    assert plain != expected
