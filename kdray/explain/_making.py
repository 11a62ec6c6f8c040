"""An explanation from a part's maps: scaled, timed, and honest about maps that show nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray import parts
from kdray.errors import ExplainError
from kdray.explain._maps import blank_reasons, scaled
from kdray.explain._subject import Subject
from kdray.spec.strict import Part

REMEDY = "Explain with another method, or give the setting `tap` another layer."


@dataclass(frozen=True)
class Explanation:
    """What a network looked at, for some classes of some images.

    Args:
        method: Name of the part.
        classes: int64 ``[B, K]``: indices of the explained classes of each image.
        maps: float32 ``[B, K, H, W]`` in [0, 1] at the images' size; NaN where a map is
            degenerate, so that it is never drawn.
        degenerate: (image, place in ``classes``) -> why that map shows nothing.
        ms: Milliseconds for all of them, forward passes included.
        forwards: Images that went through the network.
        estimate: float32 ``[B, K]``: the estimated correlation with the exact map; None where the
            maps are exact.
    """

    method: str
    classes: NDArray[np.int64]
    maps: NDArray[np.float32]
    degenerate: Mapping[tuple[int, int], str]
    ms: float
    forwards: int
    estimate: NDArray[np.float32] | None = None

    def checked(self) -> Explanation:
        """Return this explanation if all its maps show something.

        Raises:
            ExplainError: A map is constant or not finite; says which image and class.
        """
        for (image, place), reason in self.degenerate.items():
            where = f"{self.method}, image {image}, class {self.classes[image, place]}"
            raise ExplainError(where, reason, REMEDY)
        return self


def explain_with(
    method: str,
    subject: Subject,
    images: Tensor,
    classes: Tensor,
    params: Mapping[str, Any] | None = None,
) -> Explanation:
    """Return the maps of one method.

    Args:
        method: Name of a part of ``kdray/explain``, or of a preset.
        subject: The network.
        images: ``[B, c, H, W]``, standardised, on the network's device.
        classes: int64 ``[B, K]``: for each image the indices of the classes to explain.
        params: Settings of the part.

    Raises:
        JobError: There is no such part, or it refuses a setting.
        ModelError: The network lacks what the part looks at.
    """
    part, settings = _ready(method, json.dumps(dict(params or {})))
    # A part's gradients need tensors that an enclosing inference mode would forbid.
    with torch.inference_mode(False):
        started = time.perf_counter()
        images, classes = (_usable(tensor) for tensor in (images, classes))
        raw = part.explain(settings, subject, images, classes)
        maps, reasons = _shown(raw.maps, (images.shape[2], images.shape[3]), raw.reasons)
        numbers = maps.cpu().numpy()
        ms = 1000 * (time.perf_counter() - started)
    estimate = None if raw.estimate is None else raw.estimate.detach().float().cpu().numpy()
    return Explanation(method, classes.cpu().numpy(), numbers, reasons, ms, raw.forwards, estimate)


@lru_cache(maxsize=256)
def _ready(method: str, params: str) -> tuple[ModuleType, Any]:
    """Return the part of a method and its settings from JSON: a click should not wait for both."""
    whole = parts.canonical("explain", Part(name=method, params=json.loads(params)))
    settings = parts.settings("explain", whole)
    part = parts.load("explain", whole.name)
    return part, part.Params.model_validate(settings)


def _usable(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


def _shown(
    maps: Tensor, size: tuple[int, int], known: Mapping[tuple[int, int], str]
) -> tuple[Tensor, dict[tuple[int, int], str]]:
    full = scaled(maps.detach(), size)
    reasons = {**blank_reasons(maps.detach()), **known}
    for place in reasons:
        full[place] = torch.nan
    return full, reasons
