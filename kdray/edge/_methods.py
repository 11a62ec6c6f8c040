"""The explanations that need no gradients through the network, each in a few lines.

Their settings and what they are by the papers stand in ``kdray/explain``; their mathematics is in
``kdray.maps``, for PyTorch and for this alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.edge._network import Network, batch_of
from kdray.edge._pixels import Floats
from kdray.edge.head import Head
from kdray.engine import to_explain
from kdray.errors import ModelError
from kdray.maps import Raw, gradients, hiding
from kdray.maps.principal import principal
from kdray.maps.scorecam import Budget, score_cam, score_cam_within
from kdray.registry.serving import CONVOLUTIONAL

Indices = NDArray[np.int64]
REMEDY = "Serve it by PyTorch: without --edge, or with `service.runtime: torch`."


@dataclass(frozen=True)
class Model:
    """What explanations look at.

    Args:
        network: The network.
        head: What follows its maps; None: not a chain of known layers.
        taps: Where its maps are from, by all names of that place.
        names: Of the classes.
    """

    network: Network
    head: Head | None
    taps: tuple[str, ...]
    names: tuple[str, ...]


@dataclass
class Asked:
    """Images whose classes are to be explained, looked at when first needed, and once.

    Args:
        model: What is explained.
        images: ``[B, c, H, W]``, standardised.
        wanted: Classes ``[B]`` or ``[B, K]``; None: the predicted ones.
    """

    model: Model
    images: Floats
    wanted: Indices | None

    @cached_property
    def seen(self) -> tuple[Floats, Floats]:
        """Logits ``[B, C]`` and maps ``[B, D, h, w]``."""
        return self.model.network.look(self.images)

    @cached_property
    def classes(self) -> Indices:
        """The classes to explain, ``[B, K]``.

        Raises:
            ExplainError: A class is none of the model's.
        """
        given = self.seen[0].argmax(axis=1) if self.wanted is None else self.wanted
        return to_explain(given, len(self.images), self.model.names)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[2], self.images.shape[3]

    def maps(self, method: str, tap: str) -> Floats:
        """Return the maps ``[B, D, h, w]`` at a tap.

        Raises:
            ModelError: The package has not the maps of this tap.
        """
        if tap not in self.model.taps:
            known = self.model.taps[0]
            problem = f"without PyTorch only the maps of the tap `{known}` are there."
            remedy = f"Give the setting `tap: {known}`. {REMEDY}"
            raise ModelError(method, problem, remedy)
        return self.seen[1]


def _by_gradients(weigh: gradients.Weigh, method: str, asked: Asked, params: Any) -> Raw:
    maps = asked.maps(method, params.tap)
    if asked.model.head is None:
        problem = "what follows this model's last maps has no gradients without PyTorch."
        raise ModelError(method, problem, f"Explain by eigen-cam or score-cam-fast. {REMEDY}")
    slopes = asked.model.head.gradients(maps, asked.classes)
    sums = np.asarray(weigh(slopes, maps), dtype=np.float32)
    reasons = gradients.blank_sums(params.tap, sums, slopes, maps)
    return Raw(sums.clip(0), len(maps), reasons=reasons)


def _eigencam(asked: Asked, params: Any) -> Raw:
    maps = asked.maps("eigencam", params.tap)
    return Raw(_for_each_class(principal(maps).clip(0), asked), len(maps))


def _channel_means(method: str, asked: Asked, params: Any) -> Raw:
    maps = asked.maps(method, params.tap or CONVOLUTIONAL)
    return Raw(_for_each_class(np.asarray(maps.mean(axis=1)), asked), len(maps))


def _scorecam(asked: Asked, params: Any) -> Raw:
    maps = asked.maps("scorecam", params.tap)
    return score_cam(maps, asked.classes, asked.size, _through(asked, params))


def _scorecam_fast(asked: Asked, params: Any) -> Raw:
    maps = asked.maps("scorecam_fast", params.tap)
    budget = Budget(params.budget, params.budget_ms, params.rescored)
    return score_cam_within(budget, maps, asked.classes, asked.size, _through(asked, params))


def _occlusion(asked: Asked, params: Any) -> Raw:
    settings = hiding.Windows(params.window, params.stride, params.score, params.sign)
    hidden = hiding.baseline_of(asked.images, params.baseline)

    def behind(image: int, kept: hiding.Kept) -> Floats:
        return asked.model.network.behind(asked.images[image], hidden[image], kept)

    batch = batch_of(asked.size)
    return hiding.occlusion(settings, asked.classes, asked.size, batch, behind)


def _through(asked: Asked, params: Any) -> Callable[[int, Floats], Floats]:
    def through(image: int, masks: Floats) -> Floats:
        return asked.model.network.through(asked.images[image], masks, params.batch_size)

    return through


def _for_each_class(maps: Floats, asked: Asked) -> Floats:
    """Return maps ``[B, h, w]`` that know no class for each that is asked for."""
    return np.repeat(maps[:, None], asked.classes.shape[1], axis=1)


#: Those of Grad-CAM's kind: part of ``kdray/explain`` -> sums over the channels.
BY_GRADIENTS: Mapping[str, gradients.Weigh] = {
    "gradcam": gradients.gradcam,
    "gradcampp": gradients.gradcampp,
    "layercam": gradients.layercam,
}
#: Name of a part of ``kdray/explain`` -> how it is computed here from its settings.
METHODS: Mapping[str, Callable[[Asked, Any], Raw]] = {
    **{name: partial(_by_gradients, weigh, name) for name, weigh in BY_GRADIENTS.items()},
    "eigencam": _eigencam,
    "featuremaps": partial(_channel_means, "featuremaps"),
    "channelmeans": partial(_channel_means, "channelmeans"),
    "scorecam": _scorecam,
    "scorecam_fast": _scorecam_fast,
    "occlusion": _occlusion,
}


def answerable(*, has_head: bool) -> tuple[str, ...]:
    """Return the parts of ``kdray/explain`` that a package can be explained by.

    Args:
        has_head: Whether its network ends in a chain of known layers.
    """
    lacking = set() if has_head else set(BY_GRADIENTS)
    return tuple(name for name in METHODS if name not in lacking)
