"""Batches of a data set: deterministic order and views, the same after every restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray.data import Dataset, Pool, Views
from kdray.learn.held import held
from kdray.learn.world import World
from kdray.net import Net

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """What one process sees of one step.

    Args:
        images: ``[B, c, H, W]``, augmented and standardised.
        labels: ``[B]``.
        counted: How many of the images are this process's own: ``B``, or 0 where a step has too
            few for all processes, and this one keeps step with an image of another.
        share: What this process's mean loss weighs in the mean over all processes: its own images
            times the processes over all images, so that averaged gradients are those of the
            whole batch.
        places: Number of each image in its pool ``[B]``; with ``views`` it names what is seen.
        views: Number of each image's view ``[B]``.
    """

    images: Tensor
    labels: Tensor
    counted: int = 0
    share: float = 1.0
    places: Places = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    views: Places = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


class Batches:
    """The train split as augmented batches, other splits as plain ones.

    Args:
        dataset: The data set.
        views: Its augmentation, on the device where the processes compute.
        batch_size: Images of a step, over all processes.
        seed: Seed of the order.
        world: The processes; each gets its part of every batch.
        pool: What of the train split is learnt from; None: all of it, each image once an epoch.
    """

    def __init__(
        self,
        dataset: Dataset,
        views: Views,
        batch_size: int,
        seed: int,
        world: World,
        pool: Pool | None = None,
    ) -> None:
        self.dataset = dataset
        self.views = views
        self.world = world
        self._seed = seed
        self.pool = pool or Pool(dataset, dataset.split("train"))
        self._held = held(self.pool, world.device)
        self.num_train = len(self.pool)
        self.steps = max(1, -(-self.num_train // batch_size))

    def epoch_seed(self, epoch: int) -> int:
        """Return the seed of dropout and the like in an epoch of this process."""
        words = np.random.SeedSequence([self._seed, epoch, self.world.rank]).generate_state(1)
        return int(words[0])

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, evenly sized, in an order set by seed and epoch."""
        order = self.pool.order(self._seed, epoch)
        for whole in np.array_split(order, self.steps):
            mine = np.sort(whole[self.world.rank :: self.world.size])
            counted = len(mine)
            if counted == 0:
                mine = whole[:1]  # every process must take every step
            places, views = self._named(mine, epoch)
            stored = (self._held or self.pool).images(mine)
            images = self.views.train(stored, views, places)
            labels = self.views.sent(torch.from_numpy(self.pool.labels(mine)))
            share = counted * self.world.size / len(whole)
            yield Batch(images, labels, counted, share, places, views)

    def _named(self, samples: Places, epoch: int) -> tuple[Places, Places]:
        """Return what names the views of samples: their places and their views' numbers."""
        if self.views.number is None:
            return samples, np.full(len(samples), epoch)
        again, places = np.divmod(samples, self.pool.cycle)
        return places, (epoch - 1 + again) % self.views.number

    def logits(self, net: Net, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return logits ``[N, C]`` and labels ``[N]`` of a split, the net in eval mode."""
        indices = self.dataset.split(split)
        batch_size = images_at_once(self.dataset.info.image_size, self.world.device)
        net.module.eval()
        with torch.inference_mode():
            seen = [
                net.module(self.views.plain(self.dataset.images(chunk)))
                for chunk in np.array_split(indices, max(1, -(-len(indices) // batch_size)))
            ]
        return torch.cat(seen).float().cpu().numpy(), self.dataset.labels[indices]


def images_at_once(image_size: int, device: str = "cpu") -> int:
    """Return how many images a net looks at together where the number is free: memory is not.

    On a CPU few are faster as well, as long as its caches hold them (measured, MobileNetV3-S at
    224 px: 4.3 ms an image 16 or 32 together, 7.1 ms 256 together).
    """
    pixels = 2**24 if device.startswith("cuda") else 2**21
    return max(1, min(256, pixels // image_size**2))
