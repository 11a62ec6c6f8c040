"""Weights of a file into a network, as far as they fit."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.store import Store

logger = logging.getLogger(__name__)

#: How files of ``torch.save`` begin: a zip archive, or (before 2020) a pickle.
PICKLED = (b"PK\x03\x04", b"\x80\x02")


#: A network and the tensors of a file to those tensors under the network's own names.
Adapt = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]


def load_weights(
    module: nn.Module, uri: str, *, channels: int, classes: int, adapt: Adapt | None = None
) -> tuple[str, ...]:
    """Load a weights file into a network and return what had to be adapted.

    The file is a safetensors file or a state dict of ``torch.save``, which is read without
    running any code that it may hold.

    A classifier for another number of classes keeps its new random values. A first convolution
    for colour images becomes one for grey images by the sum over its input channels, which is the
    same answer for three equal channels; from grey to colour by a third for each channel.

    Args:
        module: The network, changed in place.
        uri: A path, ``file://...`` or ``s3://...``.
        channels: Image channels of the network.
        classes: Number of logits of the network.
        adapt: The part's own function for files of the library that it builds on.

    Returns:
        One sentence for each adaptation; empty where all weights fit as they are.

    Raises:
        ModelError: The file is missing, holds no weights, or those of another architecture.
    """
    given = _read(uri)
    given = adapt(module, given) if adapt else given
    wanted = module.state_dict()
    # Files converted from old checkpoints lack these counters, which nothing reads.
    given |= {
        k: v for k, v in wanted.items() if k.endswith("num_batches_tracked") and k not in given
    }
    _same_names(given, wanted, uri)
    kept: dict[str, Tensor] = {}
    notes: list[str] = []
    for name, own in wanted.items():
        value = given[name]
        if value.shape == own.shape:
            kept[name] = value
        elif _is_input(value, own, channels):
            kept[name] = other_channels(value, channels)
            notes.append(f"{name} adapted from {value.shape[1]} to {channels} channels")
        elif _is_head(module, name, value, classes):
            notes.append(f"{name} starts anew: the file has {value.shape[0]} classes")
        else:
            shapes = f"{list(value.shape)}, the model {list(own.shape)}"
            raise ModelError(
                uri, f"{name} has shape {shapes}.", "Use the architecture's own file."
            )
    module.load_state_dict({**wanted, **kept})
    for note in notes:
        logger.warning("%s: %s", uri, note)
    return tuple(notes)


def weights_hash(uri: str) -> str:
    """Return the SHA-256 of a weights file, hexadecimal.

    Args:
        uri: A path, ``file://...`` or ``s3://...``.

    Raises:
        ModelError: There is no such file.
    """
    return hashlib.sha256(_bytes(uri)).hexdigest()


def _read(uri: str) -> dict[str, Tensor]:
    data = _bytes(uri)
    if data.startswith(PICKLED):
        return _unpickled(uri, data)
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise ModelError(uri, f"is no safetensors file: {error}.") from error


def _unpickled(uri: str, data: bytes) -> dict[str, Tensor]:
    """Return the state dict of a file of ``torch.save``, alone or under a usual name."""
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        problem = f"cannot be read as a state dict: {str(error).splitlines()[0]}"
        remedy = "Save `module.state_dict()` alone, or a safetensors file."
        raise ModelError(uri, problem, remedy) from error
    for name in ("state_dict", "model"):
        found = found.get(name, found) if isinstance(found, Mapping) else found
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        problem = "holds something else than a state dict, name to tensor."
        raise ModelError(uri, problem, "Save `module.state_dict()` alone.")
    return dict(found)


def _bytes(uri: str) -> bytes:
    parts = urlsplit(uri)
    path = PurePosixPath(parts.path if parts.scheme else uri)
    folder = str(path.parent)
    if parts.scheme:
        folder = urlunsplit((parts.scheme, parts.netloc, folder, parts.query, ""))
    data = Store(folder).read(path.name)
    if data is None:
        raise ModelError(uri, "there is no such file.", "weights: none | imagenet | PATH or URI.")
    return data


def _same_names(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], uri: str) -> None:
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        said = (
            [f"lacks {len(missing)} of {len(wanted)} tensors, first {missing[0]}"]
            if missing
            else []
        )
        said += [f"has {len(extra)} tensors too many, first {extra[0]}"] if extra else []
        problem = f"holds another architecture: it {' and '.join(said)}."
        raise ModelError(uri, problem, "Give the file that this architecture was saved to.")


def _is_input(value: Tensor, own: Tensor, channels: int) -> bool:
    """Return whether the tensors differ only in 1 against 3 image channels."""
    return (
        own.ndim == value.ndim == 4
        and own.shape[1] == channels
        and {int(own.shape[1]), int(value.shape[1])} == {1, 3}
        and own.shape[0] == value.shape[0]
        and own.shape[2:] == value.shape[2:]
    )


def other_channels(value: Tensor, channels: int) -> Tensor:
    """Return weights of a first convolution for 1 instead of 3 image channels, or the reverse."""
    return value.sum(1, keepdim=True) if channels == 1 else value.repeat(1, 3, 1, 1) / 3


def _is_head(module: nn.Module, name: str, value: Tensor, classes: int) -> bool:
    """Return whether ``name`` is of a classifier that in the file only has other classes."""
    own = module.state_dict()[name]
    layer = module.get_submodule(name.rpartition(".")[0])
    is_pointwise = isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
    return (
        (isinstance(layer, nn.Linear) or (is_pointwise and layer.bias is not None))
        and own.shape[0] == classes
        and own.shape[1:] == value.shape[1:]
    )
