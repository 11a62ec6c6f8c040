"""Whether a map is the trained network's at all: randomised weights, and noise on the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kdray.explain import Subject, explain_with
from kdray.measure._layers import stages_of
from kdray.measure._maps import GRID, Maps, Values, on_grid, pearson, rows_of, ssim, usable
from kdray.spec.strict import Part

#: Random pairs of maps that the verdict compares with (Arun et al.).
_PAIRS = 50
#: Keeps the seeds away from those that networks are built with: the same would draw the same.
_FAR = 1_000_000


@dataclass(frozen=True)
class RandomisedStage:
    """What is left of the maps once these layers, and all deeper ones, hold random weights.

    Args:
        layers: Which layers were drawn anew at this stage.
        ssim: Mean structural similarity with the trained network's maps; a map that turned blank
            counts as 0, for nothing of the trained map is left in it.
        pearson: Mean correlation, likewise.
        blank: How many maps turned blank.
    """

    layers: str
    ssim: float | None
    pearson: float | None
    blank: int


@dataclass(frozen=True)
class Randomised:
    """The parameter randomisation check of one method on one network.

    Args:
        stages: From the head down; after the last one, no weight is a trained one.
        chance_ssim: Mean structural similarity of 50 random pairs of the trained network's maps
            of different images (all pairs, if fewer); None for a single image.
        passed: Whether the last stage lies below it (Arun et al.); None where undecided: no pairs,
            or most maps of the wholly random network are blank, which is unlike anything.
        maps: How many maps of the trained network show something; the others are left out.
    """

    stages: tuple[RandomisedStage, ...]
    chance_ssim: float | None
    passed: bool | None
    maps: int


def randomisation(
    subject: Subject, part: Part, images: Tensor, classes: Tensor, seed: int = 0
) -> Randomised:
    """Return how much of a network's maps stays when its weights are drawn anew, layer by layer.

    The cascading randomisation of Adebayo et al. (2018, arXiv:1810.03292), from the classifier
    down to the first layer, in about five stages. The verdict is that of Arun et al. (2021,
    doi:10.1148/ryai.2021200267): the maps of the wholly random network must be less alike those of
    the trained one than random pairs of its maps are to each other.

    Differs: about five stages instead of one for each layer; maps are compared on a grid of at
    most 56 x 56.

    Args:
        subject: The network; it is left as it was.
        part: The explanation.
        images: ``[B, c, H, W]``, standardised, on the network's device.
        classes: int64 ``[B, K]``: the classes that are explained.
        seed: Seed of the random weights and of the pairs.

    Raises:
        JobError: There is no such explanation, or it refuses a setting.
        ModelError: The network lacks what the explanation looks at.
    """
    trained = _maps_of(subject, part, images, classes)
    known = np.flatnonzero(usable(trained))
    kept = trained[known]
    net = replace(subject.net, parallel=None)
    found: list[RandomisedStage] = []
    with _restored(net.module):
        for layers in stages_of(net, images[:1]):
            with _seeded(_FAR + seed + len(found), images.device):
                for path in layers:
                    _draw_anew(net.module.get_submodule(path))
            # A runtime would have to compile each of these networks anew.
            now = _maps_of(Subject(net, "torch"), part, images, classes)[known]
            found.append(_stage(layers, kept, now))
    chance = _chance(kept, known // classes.shape[1], seed)
    return Randomised(tuple(found), chance, _passed(found, chance, len(known)), len(known))


def _passed(stages: Sequence[RandomisedStage], chance: float | None, maps: int) -> bool | None:
    if not stages or chance is None:
        return None
    last = stages[-1]
    if last.ssim is None or 2 * last.blank > maps:
        return None
    return last.ssim < chance


def _maps_of(subject: Subject, part: Part, images: Tensor, classes: Tensor) -> Maps:
    """Return the maps of all images and classes, ``[B * K, h, w]``."""
    maps = explain_with(part.name, subject, images, classes, part.params).maps
    return on_grid(maps.reshape(-1, *maps.shape[2:]), GRID)


@contextmanager
def _restored(module: nn.Module) -> Iterator[None]:
    """Give a network its weights back in the end.

    A copy of the network would not do: what reads its attention reads biases of the very modules
    that it was made for, which are not those of the copy.
    """
    tensors = [*module.parameters(), *module.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, values in zip(tensors, before, strict=True):
                tensor.copy_(values)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from a seed for a while, and leave the generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: it reseeds all GPUs
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _draw_anew(layer: nn.Module) -> None:
    """Give a layer's own parameters random values: its initial ones, where it knows how.

    Others (position embeddings, layer scales) are drawn from the normal distribution of their own
    mean and standard deviation.
    """
    with torch.no_grad():
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
            return
        for values in layer.parameters(recurse=False):
            spread = float(values.std()) if values.numel() > 1 else 0.0
            values.normal_(float(values.mean()), spread)


def _stage(layers: Sequence[str], before: Maps, after: Maps) -> RandomisedStage:
    blank = ~usable(after)
    ssims, correlations = (np.where(blank, 0.0, of(before, after)) for of in (ssim, pearson))
    names = [layer or "the network's own" for layer in layers]
    name = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)})"
    return RandomisedStage(name, _mean(ssims), _mean(correlations), int(blank.sum()))


def _mean(values: Values) -> float | None:
    return float(values.mean()) if len(values) else None


def _chance(maps: Maps, images: NDArray[np.intp], seed: int) -> float | None:
    """Return the mean similarity of random pairs of maps of different images."""
    first, second = np.triu_indices(len(maps), k=1)
    other = np.flatnonzero(images[first] != images[second])
    drawn = np.random.default_rng(seed).permutation(other)[:_PAIRS]
    return _mean(ssim(maps[first[drawn]], maps[second[drawn]]))


def stability(
    maps_of: Callable[[NDArray[np.uint8]], Maps],
    images: NDArray[np.uint8],
    *,
    noise: float = 0.02,
    copies: int = 5,
    seed: int = 0,
) -> dict[str, Values]:
    """Return how steady the map of each image is when noise is added to the image.

    Args:
        maps_of: uint8 ``[N, H, W, c]`` to maps ``[N, H, W]`` of the same classes.
        images: uint8 ``[N, H, W, c]``.
        noise: Standard deviation of the Gaussian noise, as a share of the pixel range.
        copies: Noisy copies of each image.
        seed: Seed of the noise.

    Returns:
        Each ``[N]``: ``stability``: mean correlation of the image's map with those of its copies;
        ``max_sensitivity``: the largest relative change ``||E(x') - E(x)|| / ||E(x)||`` (Yeh et
        al., 2019, arXiv:1901.09392, with Gaussian noise). Copies with a blank map are left out;
        NaN where the image's own map is blank, or those of all copies are.
    """
    own = maps_of(images)
    norms = np.linalg.norm(rows_of(own), axis=1)
    norms = np.where(usable(own), norms, np.nan)
    alike, changes = [], []
    for noisy in _noisy(images, noise, copies, seed):
        maps = maps_of(noisy)
        alike.append(pearson(own, maps))
        change = np.linalg.norm(rows_of(maps) - rows_of(own), axis=1) / norms
        changes.append(np.where(usable(maps), change, np.nan))
    return {
        "stability": _over_copies(alike, np.nanmean),
        "max_sensitivity": _over_copies(changes, np.nanmax),
    }


def _noisy(
    images: NDArray[np.uint8], noise: float, copies: int, seed: int
) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    for _ in range(copies):
        changed = images + random.normal(0, noise * 255, images.shape)
        yield np.clip(np.round(changed), 0, 255).astype(np.uint8)


def _over_copies(values: Sequence[Values], of: Callable[..., Values]) -> Values:
    stacked = np.stack(values)
    found = np.full(stacked.shape[1], np.nan)
    known = ~np.isnan(stacked).all(axis=0)
    found[known] = of(stacked[:, known], axis=0)
    return found
