"""Explanations: one method a file, each ``explain(params, net, images, target) -> maps``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdray import parts
from kdray.errors import ExplainError
from kdray.net import Net

__all__ = ["explain_each"]


def explain_each(
    name: str, params: Mapping[str, Any], net: Net, images: Tensor, target: Tensor
) -> list[Tensor | ExplainError]:
    """Return each image's map ``[H, W]``, or the error that says why it has none.

    For figures, where one blank map must not cost the others.

    Args:
        name: Name of the explanation.
        params: Its settings, as a job writes them.
        net: The classifier in eval mode; unchanged on return.
        images: ``[B, c, H, W]``, standardised.
        target: ``[B]``, class indices.

    Raises:
        JobError: There is no such explanation.
        ModelError: The network has no such tap.
    """
    part = parts.load("explain", name)
    settings = part.Params.model_validate(dict(params))
    found: list[Tensor | ExplainError] = []
    for index in range(len(images)):
        one = slice(index, index + 1)
        try:
            found.append(part.explain(settings, net, images[one], target[one])[0])
        except ExplainError as error:
            found.append(ExplainError(f"{name}, image {index}", error.problem, error.remedy))
    return found
