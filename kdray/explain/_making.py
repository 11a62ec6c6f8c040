"""An explanation from a part's maps: scaled, timed, and honest about maps that show nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from kdray import parts
from kdray.explain._subject import Subject, indices
from kdray.maps import Explanation, shown
from kdray.spec.strict import Part


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
        maps, reasons = shown(raw, (images.shape[2], images.shape[3]))
        ms = 1000 * (time.perf_counter() - started)
    return Explanation(method, indices(classes), maps, reasons, ms, raw.forwards, raw.estimate)


@lru_cache(maxsize=256)
def _ready(method: str, params: str) -> tuple[ModuleType, Any]:
    """Return the part of a method and its settings from JSON: a click should not wait for both."""
    whole = parts.canonical("explain", Part(name=method, params=json.loads(params)))
    settings = parts.settings("explain", whole)
    part = parts.load("explain", whole.name)
    return part, part.Params.model_validate(settings)


def _usable(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor
