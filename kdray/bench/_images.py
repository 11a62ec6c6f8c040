"""Drawn images as kdray prepares them, and its batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kdray.bench._plain import CHANNELS, Setting
from kdray.data import Dataset, Pool, Views, prepare
from kdray.learn import Batch, Batches, World
from kdray.spec.data import Augment, Data, Duplicates
from kdray.spec.strict import Part

_SEED = 0
#: Of the train split: what is drawn is divided into splits first.
_SHARE = 0.6


@dataclass(frozen=True)
class Images:
    """A prepared data set, of which so many batches are trained on.

    Args:
        pool: What is trained on: whole batches.
        batches: kdray's batches of it, with the default augmentation and one view an image.
    """

    pool: Pool
    batches: Batches

    @property
    def classes(self) -> int:
        """Number of logits."""
        return len(self.pool.dataset.info.classes)

    def in_memory(self) -> list[Batch]:
        """Return the batches of an epoch, read and augmented."""
        return list(self.batches.epoch(1))

    def next_batch(self) -> Callable[[], Batch]:
        """Return what reads and augments a batch after the other, epoch after epoch."""
        endless = self._endless()
        return lambda: next(endless)

    def _endless(self) -> Iterator[Batch]:
        epoch = 1
        while True:
            yield from self.batches.epoch(epoch)
            epoch += 1


def drawn(folder: Path, setting: Setting) -> Images:
    """Draw and prepare images in a new folder, and return their batches."""
    folder.mkdir()
    wanted = setting.batch_size * setting.batches
    source = Part(name="phantom", params={"num_images": int(wanted / _SHARE) + 1, "seed": _SEED})
    size, unchecked = setting.image_size, Duplicates(check="none")
    prepare(Data(source=source, image_size=size, channels=CHANNELS, duplicates=unchecked), folder)
    dataset = Dataset.open(folder)
    info = dataset.info
    pool = Pool(dataset, dataset.split("train")[:wanted])
    views = Views(Augment(), _SEED, info.mean, info.std, setting.device, 1)
    world = World(device=setting.device)
    return Images(pool, Batches(dataset, views, setting.batch_size, _SEED, world, pool))
