"""Networks that a benchmark trains itself, once, on drawn scans: converged, not random."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.bench import _plain
from kdray.bench._case import CLASSES
from kdray.bench._plain import CHANNELS
from kdray.bench._timing import seconds_of
from kdray.data import Dataset, Views, prepare
from kdray.learn import Batches, Hooks, Labels, World, fit
from kdray.measure import scores
from kdray.models import build_model
from kdray.net import Net
from kdray.registry import read_package, write_package
from kdray.spec.data import Augment, Data, Duplicates
from kdray.spec.experiment import Train
from kdray.spec.strict import Part

#: What explanations are measured on: a student of the papers, and a teacher with ReLU maps.
MODELS: Mapping[str, Mapping[str, Any]] = {
    "mobilenetv3_small": {"name": "mobilenetv3_small", "params": {}},
    "resnet18": {"name": "timm", "params": {"arch": "resnet18"}},
}
_SEED, _BATCH, _RATE = 0, 32, 2e-3
#: An epoch costs more than its steps: validation, augmentation.
_BESIDES = 1.2


@dataclass(frozen=True)
class Lessons:
    """How a network is trained.

    Args:
        num_images: Scans, of which three in five are trained on.
        image_size: Height and width, pixels.
        minutes: For each network, at most; its epochs are so many as fit.
        epochs: At most; by then it has converged.
    """

    num_images: int = 1600
    image_size: int = 224
    minutes: float = 15
    epochs: int = 30


def trained(
    name: str, work: Path, lessons: Lessons, tell: Callable[[str], None]
) -> tuple[str, Path]:
    """Return what to call a network of ``MODELS``, and its package; train it unless it is there.

    Args:
        name: Its name.
        work: Where packages and scans lie.
        lessons: How it is trained.
        tell: Told of each epoch.
    """
    folder = work / f"{name}-{lessons.image_size}"
    if not (folder / "model.json").exists():
        _train(name, folder, _scans(work, lessons), lessons, tell)
    lineage = read_package(folder).lineage
    told = f"accuracy {lineage['accuracy']:.3f} after {lineage['epochs']} epochs"
    return f"{name} (drawn scans, {told})", folder


def _scans(work: Path, lessons: Lessons) -> Dataset:
    """Return the drawn scans, prepared unless they are there."""
    size, count = lessons.image_size, lessons.num_images
    folder = work / f"scans-{count}-{size}"
    if not (folder / "dataset.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        drawn = {"num_images": count, "seed": _SEED, "size": size}
        prepare(
            Data(
                source=Part(name="phantom", params=drawn),
                image_size=size,
                channels=CHANNELS,
                duplicates=Duplicates(check="none"),
            ),
            folder,
        )
    return Dataset.open(folder)


def _train(
    name: str, folder: Path, dataset: Dataset, lessons: Lessons, tell: Callable[[str], None]
) -> None:
    info = dataset.info
    views = Views(Augment(), _SEED, info.mean, info.std)
    batches = Batches(dataset, views, _BATCH, _SEED, World())
    epochs = _epochs(_net(name, info.image_size), batches, lessons)
    settings = Train(
        epochs=epochs,
        batch_size=_BATCH,
        learning_rate=_RATE,
        weight_decay=0.02,
        warmup_epochs=1,
        patience=max(2, epochs // 3),
    )

    def told(epoch: Any, _best: int) -> bool:
        tell(f"training {name}: epoch {epoch.epoch}/{epochs}, {epoch.validation['accuracy']:.3f}")
        return False

    net = _net(name, info.image_size)
    fitted = fit(net, Labels(), batches, settings, hooks=Hooks(epoch=told))
    net.module.load_state_dict(dict(fitted.state))
    found = scores(*batches.logits(net, "test"), info.classes)
    lineage = {
        "weights": "trained by kdray bench explain",
        "accuracy": found["accuracy"],
        "epochs": fitted.best_epoch,
        "data": info.hash,
    }
    folder.mkdir(parents=True, exist_ok=True)
    model = dict(MODELS[name])
    write_package(folder, net, model=model, id=name, role="student", info=info, lineage=lineage)


def _epochs(net: Net, batches: Batches, lessons: Lessons) -> int:
    """Return how many epochs fit into the time, from how long a step takes."""
    held = [batch for _, batch in zip(range(2), batches.epoch(1), strict=False)]
    step = _plain.step(net, _plain.adam(net), _plain.labels_alone(net), held)
    step()
    epoch_s = _BESIDES * seconds_of(step) * batches.steps
    return max(1, min(lessons.epochs, int(lessons.minutes * 60 / epoch_s)))


def _net(name: str, size: int) -> Net:
    model = MODELS[name]
    return build_model(
        model["name"],
        model["params"],
        channels=CHANNELS,
        classes=len(CLASSES),
        image_size=size,
    )
