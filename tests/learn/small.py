"""A small net and its batches, for the tests of the training loop."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from kdray.data import Dataset, Views
from kdray.distill import DistillationMethod
from kdray.learn import Batches, World
from kdray.net import Look, Net, Tap, Wants
from kdray.spec.experiment import Augment


def small_net(classes: int = 3, *, norm: bool = True) -> Net:
    """Return a net of one convolution, with or without batch norm."""
    layers = [nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6) if norm else nn.Identity()]
    module = nn.Sequential(
        *layers, nn.ReLU(), nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten(), nn.Linear(18, classes)
    )
    return Net(module, {"cam": Tap("2")})


def make_batches(dataset: Dataset, world: World | None = None, batch_size: int = 16) -> Batches:
    """Return the batches of a data set with the default views."""
    info = dataset.info
    views = Views(Augment(hflip=False, rotate=5), 0, info.mean, info.std)
    return Batches(dataset, views, batch_size, 0, world or World())


class ToTeacher(DistillationMethod):
    """Pulls the student's logits to the teacher's, and writes down how far the training is."""

    def __init__(self) -> None:
        self.progress: list[float] = []

    def begin(self, progress: float) -> None:
        self.progress.append(progress)

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        assert teacher is not None
        assert not teacher.logits.requires_grad
        return {"match": (student.logits - teacher.logits).square().mean()}


class Adapted(ToTeacher):
    """Pulls adapted maps of the student to the teacher's."""

    def wants(self, student: Net, teacher: Net | None) -> tuple[Wants, Wants]:
        return Wants(("cam",)), Wants(("cam",))

    def adapters(self, student: Look, teacher: Look) -> nn.Module:
        return nn.Conv2d(student.maps["cam"].shape[1], teacher.maps["cam"].shape[1], 1)

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        assert teacher is not None
        assert self.adapted is not None
        apart = self.adapted(student.maps["cam"]) - teacher.maps["cam"]
        logits = F.cross_entropy(student.logits, labels)
        return {"labels": logits, "match": apart.square().mean()}
