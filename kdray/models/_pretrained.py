"""Networks of torchvision, with its ImageNet weights or without, fitted to images and classes."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import nn

from kdray.errors import ModelError
from kdray.models._weights import other_channels

#: Classes of ImageNet.
IMAGENET = 1000


def torchvision_model(
    arch: str, part: str, channels: int, classes: int, pretrained: bool
) -> nn.Module:
    """Return a classifier of torchvision for these images and classes.

    Args:
        arch: Name of the architecture.
        part: Name of the part, for errors.
        channels: Image channels ``c``; the first convolution is replaced unless 3.
        classes: Number of logits ``C``; the last layer is new where they are others.
        pretrained: Whether to load ImageNet weights, the first that torchvision lists.

    Raises:
        ModelError: The ImageNet weights do not exist or cannot be had.
    """
    from torchvision import models

    module: nn.Module
    if not pretrained:
        module = models.get_model(arch, num_classes=classes)
    else:
        weights = _weights(arch, f"{part}/{arch}")
        try:
            module = models.get_model(arch, weights=weights)
        except OSError as error:
            made = f"torchvision.models.get_model({arch!r}, weights={weights.name!r})"
            raise no_weights(f"{part}/{arch}", made, error) from error
        _fit_classes(module, classes)
    _fit_input(module, channels, pretrained)
    return module


def unknown(where: str, arch: str, known: list[str], listed: str) -> ModelError:
    """Return the error for an architecture that a library does not have, with the nearest."""
    close = difflib.get_close_matches(arch, known, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(repr(name) for name in close)}? " if close else ""
    library = where.partition("/")[0]
    return ModelError(where, f"{library} has no architecture {arch!r}.", remedy + listed)


def no_weights(where: str, made: str, error: Exception) -> ModelError:
    """Return the error for ImageNet weights that cannot be had, with the way to a local file.

    Args:
        where: The model.
        made: Python that makes the network with its weights where they can be had; empty where
            nobody has them.
        error: What went wrong.
    """
    remedy = "Give a local file instead, weights: PATH.safetensors or PATH.pth, or none."
    if made:
        library = made.partition(".")[0]
        remedy += (
            f" To make one where there is a network: import torch, {library}; "
            f"torch.save({made}.state_dict(), 'weights.pth')."
        )
    problem = f"its ImageNet weights cannot be had: {first_line(error)}."
    return ModelError(where, problem, remedy)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _weights(arch: str, where: str) -> Any:
    from torchvision import models

    listed = list(models.get_model_weights(arch))
    if not listed:
        raise no_weights(where, "", ValueError("torchvision has none"))
    return listed[0]


def _fit_input(module: nn.Module, channels: int, pretrained: bool) -> None:
    """Replace the first convolution by one for ``channels`` image channels."""
    path, first = next(
        (path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.Conv2d)
    )
    if first.in_channels == channels:
        return
    new = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    with torch.no_grad():
        if pretrained:
            new.weight.copy_(other_channels(first.weight, channels))
        if pretrained and new.bias is not None and first.bias is not None:
            new.bias.copy_(first.bias)
    module.set_submodule(path, new)


def _fit_classes(module: nn.Module, classes: int) -> None:
    """Replace the last layer by one for ``classes`` classes."""
    layers = [item for item in module.named_modules() if _outputs(item[1]) == IMAGENET]
    if not layers:
        raise ValueError("its last layer is neither linear nor a 1x1 convolution")
    path, last = layers[-1]
    if classes == IMAGENET:
        return
    new: nn.Module
    if isinstance(last, nn.Linear):
        new = nn.Linear(last.in_features, classes)
    else:
        new = nn.Conv2d(last.in_channels, classes, 1)
    module.set_submodule(path, new)


def _outputs(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else 0
