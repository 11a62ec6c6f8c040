"""A package to answers: images to probabilities and to maps of what the model looked at."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdray.data import Views
from kdray.engine import Seen, to_explain
from kdray.errors import ExplainError, ModelError
from kdray.explain import Subject, explain_with
from kdray.images import decode, fit
from kdray.maps import Explanation
from kdray.models import lay_out
from kdray.net import Net
from kdray.registry import read_package
from kdray.spec.experiment import Augment

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
#: The bytes of an image file.
File = bytes
#: Centre and width of the values of a DICOM image that are shown.
Window = tuple[float, float]


class Predictor:
    """A model that answers and explains; any number of threads may use it at once.

    Predictions run side by side. Explanations hook into the network, so they have a copy of their
    own and wait for each other, never for a prediction.

    Args:
        folder: A package.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        RegistryError: The package is missing or damaged.
        ModelError: The device is not there.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelError(f"device {device!r}", "no GPU is usable here.", "Use device 'cpu'.")
        try:
            self._device = torch.device(device)
        except RuntimeError:
            remedy = "Use cpu, cuda or cuda:N."
            raise ModelError(f"device {device!r}", "there is no such device.", remedy) from None
        self.package = read_package(folder)
        self._net = self._built()
        self._net.module.requires_grad_(False)
        lay_out(self._net.module, device)
        self._looking = threading.local()
        self._watch_maps()
        self._views = Views(Augment(), 0, self.package.mean, self.package.std, self._device)
        self._lock = threading.Lock()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the ``C`` classes, in the order of the logits."""
        return self.package.classes

    @property
    def runtime(self) -> str:
        """What computes it: ``torch`` and the device."""
        return f"torch {self._device}"

    @property
    def bytes(self) -> int:
        """About what it takes in memory: explanations have a copy of the network."""
        return 2 * self.package.weights.bytes

    def index(self, name: str) -> int:
        """Return the index of a class.

        Raises:
            ExplainError: The model knows no such class.
        """
        if name not in self.classes:
            remedy = f"Its classes: {', '.join(self.classes)}."
            raise ExplainError(f"class {name!r}", "the model knows no such class.", remedy)
        return self.classes.index(name)

    def decode(self, data: File, max_pixels: int | None = None) -> Images:
        """Return an image file as the model sees it, ``[H, W, c]``, resized as for training.

        Args:
            data: The bytes of an image file.
            max_pixels: Largest width times height; None: no limit.

        Raises:
            DataError: The file is no readable image, or too large.
        """
        return self.fit(self.pixels(data, max_pixels))

    def pixels(
        self, data: File, max_pixels: int | None = None, window: Window | None = None
    ) -> Images:
        """Return the pixels of an image file at its own size, ``[H, W]`` or ``[H, W, 3]``.

        Args:
            data: The bytes of an image file.
            max_pixels: Largest width times height; None: no limit.
            window: Centre and width of the values shown, for DICOM; None: the one that the model
                was trained with, or else the file's own.

        Raises:
            DataError: The file is no readable image, or too large.
        """
        return decode(data, max_pixels=max_pixels, window=window or self.package.window)

    def fit(self, pixels: Images) -> Images:
        """Return pixels of any size as the model sees them, ``[H, W, c]``; as for training.

        Args:
            pixels: Grey ``[H, W]``, or colour ``[H, W, 3]``.
        """
        return fit(pixels, self.package.image_size, self.package.channels)

    def logits(self, images: Images) -> Floats:
        """Return the logits ``[B, C]`` of images ``[B, H, W, c]``."""
        with torch.inference_mode():
            return self._numbers(self._net.module(self._standard(images)))

    def look(self, images: Images) -> Seen:
        """Return what the network says of images ``[B, H, W, c]``."""
        self._looking.features = ()
        try:
            logits = self.logits(images)
            features = self._looking.features
        finally:
            self._looking.features = None
        if isinstance(features, tuple):  # the network has no last maps
            return Seen(logits, np.zeros((len(images), 0), np.float32))
        return Seen(logits, self._numbers(features))

    def predict(self, images: Images) -> Floats:
        """Return the probabilities ``[B, C]`` (softmax) of images ``[B, H, W, c]``."""
        with torch.inference_mode():
            logits = self._net.module(self._standard(images))
            return self._numbers(logits.float().softmax(dim=1))

    def answers(self, images: Images) -> Floats:
        """Return ``predict`` of many changed images, by the fastest runtime that agrees with it.

        For measuring explanations, thousands of images at a time; it waits for explanations.
        """
        with self._lock:
            logits = self._subject.forward(self._standard(images))
        return self._numbers(logits.float().softmax(dim=1))

    def explain(
        self,
        images: Images,
        method: str,
        params: Mapping[str, Any] | None = None,
        classes: NDArray[np.int64] | None = None,
    ) -> Explanation:
        """Return what the model looked at; maps that show nothing are said, not drawn.

        Args:
            images: ``[B, H, W, c]``.
            method: Name of an explanation; see `kdray explainers`.
            params: Settings of the explanation; None: its defaults.
            classes: Indices of the classes to explain, ``[B]`` or ``[B, K]``; None: the predicted
                ones.

        Raises:
            JobError: There is no such explanation, or it refuses a setting.
            ModelError: The model lacks what the explanation looks at.
            ExplainError: A class is none of the model's.
        """
        if classes is None:
            classes = self.logits(images).argmax(axis=1)
        wanted = to_explain(classes, len(images), self.classes)
        with self._lock:
            return explain_with(
                method,
                self._subject,
                self._standard(images),
                torch.as_tensor(wanted, device=self._device),
                params,
            )

    def _watch_maps(self) -> None:
        """Keep the mean of the last maps of each forward pass that ``look`` is waiting for.

        One hook for all threads, each with what it looks for: a hook of one's own would see the
        passes of others too.
        """
        if "cam" not in self._net.taps:
            return
        tap = self._net.taps["cam"]

        def hook(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            if getattr(self._looking, "features", None) is not None:
                self._looking.features = tap.as_maps(output).float().mean(dim=(2, 3))

        self._net.layer("cam").register_forward_hook(hook)

    @cached_property
    def _subject(self) -> Subject:
        net = self._built()
        lay_out(net.module, self._device.type)
        return Subject(net)

    def _built(self) -> Net:
        net = self.package.build()
        net.module.to(self._device)
        return net

    def _standard(self, images: Images) -> torch.Tensor:
        return self._views.plain(images)

    @staticmethod
    def _numbers(tensor: torch.Tensor) -> Floats:
        numbers: Floats = tensor.detach().float().cpu().numpy()
        return numbers
