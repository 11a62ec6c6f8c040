"""What is asked and answered between the application and the models: no HTTP, no PyTorch.

These cross threads and, with Ray Serve, processes: plain, frozen, picklable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Name and version number of a model.
Key = tuple[str, int]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        name: Name of the API key; ``anybody`` where the service asks for none.
        roles: Of ``predict``, ``explain`` and ``admin``.
        request_id: Names the request in answers, logs and the audit log.
    """

    name: str
    roles: frozenset[str]
    request_id: str


@dataclass(frozen=True)
class Upload:
    """An image as it came.

    Args:
        content: The bytes of an image file, or pixels ``[H, W]`` or ``[H, W, 3]``.
        name: What the user calls it, for messages; never a path, never logged.
    """

    content: bytes | Pixels
    name: str = ""


@dataclass(frozen=True)
class Wish:
    """What is wanted of an explanation.

    Args:
        method: One of the service's explanations; None: the first.
        classes: Names of the classes to explain; empty: the predicted one.
        against: ``teacher``, ``name`` or ``name@version``: whose map of the same class to compare
            with; None: nobody's.
        deadline_ms: Time that the answer should take; a faster method may take the place of the
            wanted one, and the answer says so. None: as long as it takes.
    """

    method: str | None = None
    classes: tuple[str, ...] = ()
    against: str | None = None
    deadline_ms: float | None = None


@dataclass(frozen=True)
class Predicted:
    """What a model says of an image.

    Args:
        probabilities: ``[C]``, calibrated where the package can.
        logits: ``[C]``.
        is_calibrated: Whether the temperature of the validation split was applied.
        prediction_set: Places of the classes that hold the true one with the service's coverage,
            most probable first; None where the package cannot tell.
        ood_score: Share of the validation images that are nearer to the training images; None
            where the package cannot tell.
        size: Width and height of the image file, pixels.
        sha256: Hash of the image file.
    """

    probabilities: Floats
    logits: Floats
    is_calibrated: bool
    prediction_set: tuple[int, ...] | None
    ood_score: float | None
    size: tuple[int, int]
    sha256: str

    @property
    def place(self) -> int:
        """Place of the most probable class."""
        return int(self.probabilities.argmax())


@dataclass(frozen=True)
class Mapped:
    """A model's maps for some classes of an image.

    Args:
        method: The method that made them, as the service calls it.
        places: Places of the explained classes, ``K``.
        maps: ``[K, H, W]`` in [0, 1]; NaN where a map shows nothing.
        reasons: Position in ``places`` -> why that map shows nothing.
        estimates: ``[K]``: estimated correlation with the exact map; None where they are exact.
        milliseconds: Time of the explanation itself.
        forwards: Images that went through the network for it.
    """

    method: str
    places: tuple[int, ...]
    maps: Floats
    reasons: Mapping[int, str]
    estimates: tuple[float, ...] | None
    milliseconds: float
    forwards: int


@dataclass(frozen=True)
class Beside:
    """Another model's view of the same image and classes.

    Args:
        model: Name and version.
        weights_sha256: Checksum of its weights.
        classes: Its classes, in the order of its probabilities.
        role: ``teacher`` or ``student``.
        predicted: What it says.
        mapped: Its maps of the same classes, by the same method.
        agreement: For each class ``pearson``, ``ssim`` and ``iou20`` of the two maps; NaN where
            one of them shows nothing.
        chance: The same of maps of different images, as the package measured it; may be empty.
    """

    model: Key
    weights_sha256: str
    classes: tuple[str, ...]
    role: str
    predicted: Predicted
    mapped: Mapped
    agreement: tuple[Mapping[str, float], ...]
    chance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """What a model says of an image, and where it looked.

    Args:
        predicted: What it says.
        mapped: Where it looked.
        shown: The image as the model saw it, ``[H, W, c]``, to lay the maps over.
        replaced: Why another method than the wanted one was used; empty where it was not.
        beside: The model compared with.
    """

    predicted: Predicted
    mapped: Mapped
    shown: Pixels
    replaced: str = ""
    beside: Beside | None = None
