"""Models: a file a model; built by name, seeded, with random or given weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kdray import parts
from kdray.models._layout import lay_out, memory_format
from kdray.models._weights import load_weights, weights_hash
from kdray.net import Net
from kdray.spec.strict import Part

__all__ = ["build_model", "lay_out", "load_weights", "memory_format", "weights_hash"]


def build_model(  # noqa: PLR0913 - what a model depends on, each by name
    name: str,
    params: Mapping[str, Any],
    *,
    channels: int,
    classes: int,
    image_size: int,
    weights: str = "none",
    seed: int = 0,
) -> Net:
    """Return a network of a part, in train mode, on the CPU.

    Args:
        name: Name of the part in ``kdray/models``, or of a preset.
        params: The part's settings; a preset's own lie below them.
        channels: Image channels ``c``, 1 or 3.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels.
        weights: ``none`` (random, from the seed), ``imagenet``, or a path or URI of a safetensors
            file or state dict; what ``load_weights`` adapts is logged as a warning.
        seed: Seed of the random weights; the global random state is left as it was.

    Raises:
        JobError: There is no such part.
        ValidationError: The part refuses its settings (a job's are checked before).
        ModelError: The part cannot build it, or the weights do not fit.
    """
    whole = parts.canonical("models", Part(name=name, params=dict(params)))
    part = parts.load("models", whole.name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: it reseeds the GPU too
        net: Net = part.build(
            part.Params.model_validate(whole.params),
            channels=channels,
            classes=classes,
            image_size=image_size,
            pretrained=weights == "imagenet",
        )
    if weights not in ("none", "imagenet"):
        adapt = getattr(part, "adapt", None)
        load_weights(net.module, weights, channels=channels, classes=classes, adapt=adapt)
    return net
