"""Drawn scans with known lesions and their masks; the same everywhere from one seed.

A grey oval head on black, with tissue texture, vessels and a bright bias to one side. The classes
differ by one lesion: `none` (only the distractor that all scans may have: a soft bright spot),
`solid` (an even disc), `ring` (the same disc, its rim brighter than its middle), `speckled` (the
same disc, broken up by a fine texture), `lobed` (an even disc with a wavy outline). All lesions
are as bright on average, so a class shows in their structure alone. A patient has several scans of
one head; the patient is the group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from kdray.data._rows import Row
from kdray.images import Pixels
from kdray.spec.strict import Many, Strict

SCANS_PER_PATIENT = 4
#: Changes when the drawing does, so that prepared data sets are not mistaken for new ones.
DRAWING = 1


class Params(Strict):
    """How many scans, and how hard they are to tell apart."""

    num_images: int = Field(960, ge=1)
    """Scans in all, the classes evenly among them."""
    classes: Many[Literal["none", "solid", "ring", "speckled", "lobed"]] = (
        "none",
        "solid",
        "ring",
        "speckled",
    )
    """The kinds of lesion to draw."""
    seed: int = Field(0, ge=0)
    """Every pixel follows from it."""
    size: int = Field(64, ge=16, le=1024)
    """Height and width that the scans are drawn at, pixels."""
    noise: float = Field(0.045, ge=0, le=1)
    """Standard deviation of the noise, as a share of full brightness."""
    contrast: float = Field(0.35, gt=0, le=1)
    """Brightness of the lesions above the tissue, as a share of full brightness."""

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise ValueError("give two or more classes, each once")
        return classes


Map = NDArray[np.float32]


@dataclass(frozen=True)
class _Lesion:
    """Where a lesion is: its outline as a distance map, 0 in the middle, 1 on the outline."""

    distance: Map
    pixel: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        return np.asarray(self.distance <= 1)


def rows(params: Params) -> Iterator[Row]:
    """Yield the scans, patient after patient."""
    for index in range(params.num_images):
        yield Row(
            id=f"scan-{index:06d}",
            label=_label(params, index),
            read=partial(_image, params, index),
            group=f"patient-{index // SCANS_PER_PATIENT:05d}",
            mask=partial(_mask, params, index),
        )


def fingerprint(params: Params) -> str:
    """Return a hash of the settings; they say every pixel."""
    return hashlib.sha256(f"{DRAWING}:{params.model_dump_json()}".encode()).hexdigest()


def _label(params: Params, index: int) -> str:
    """Return the class of a scan: each block of so many scans as classes has each class once."""
    block, place = divmod(index, len(params.classes))
    order = np.random.default_rng((params.seed, 2, block)).permutation(len(params.classes))
    return str(params.classes[int(order[place])])


def _image(params: Params, index: int) -> Pixels:
    label = _label(params, index)
    head = np.random.default_rng((params.seed, 0, index // SCANS_PER_PATIENT))
    scan = np.random.default_rng((params.seed, 1, index))
    x, y = _plane(params.size)
    lesion = _lesion(params, label, scan, x, y)
    image = _head(head, scan, x, y)
    image += _vessels(scan, x, y)
    image += _spot(scan, x, y) * params.contrast
    if label != "none":
        image += params.contrast * _inside(lesion, label, scan)
    image = image * scan.uniform(0.8, 1.2) + scan.uniform(-0.05, 0.05)
    grain = scan.standard_normal(image.shape, dtype=np.float32)
    image += params.noise * _smooth(grain)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _mask(params: Params, index: int) -> NDArray[np.bool_]:
    label = _label(params, index)
    if label == "none":
        return np.zeros((params.size, params.size), dtype=bool)
    scan = np.random.default_rng((params.seed, 1, index))
    return _lesion(params, label, scan, *_plane(params.size)).mask


def _plane(size: int) -> tuple[Map, Map]:
    """Return x ``[1, size]`` and y ``[size, 1]`` of the pixels' centres, from -1 to 1."""
    centres = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    return centres[None, :], centres[:, None]


def _lesion(params: Params, label: str, scan: np.random.Generator, x: Map, y: Map) -> _Lesion:
    # Drawn for every class, so that a scan differs from its neighbour classes by the lesion only.
    around, out = scan.uniform(0, 2 * np.pi), 0.5 * np.sqrt(scan.uniform(0, 1))
    radius, stretch, tilt = (
        scan.uniform(0.2, 0.32),
        scan.uniform(0.85, 1.18),
        scan.uniform(0, np.pi),
    )
    waves = scan.uniform(0, 2 * np.pi)
    dx, dy = x - out * np.cos(around) * 0.8, y - out * np.sin(around)
    u, v = np.cos(tilt) * dx + np.sin(tilt) * dy, np.cos(tilt) * dy - np.sin(tilt) * dx
    reach = np.hypot(u * stretch, v / stretch) / radius
    if label == "lobed":
        reach = reach / (1 + 0.22 * np.cos(5 * np.arctan2(v, u) + waves))
    return _Lesion(reach.astype(np.float32), 2 / (params.size * radius))


def _inside(lesion: _Lesion, label: str, scan: np.random.Generator) -> Map:
    """Return the brightness of a lesion, 1 on average."""
    distance = lesion.distance
    body = _soft(1 - distance, 0.08)
    if label == "ring":
        rim = np.exp(-(((distance - 0.8) / 0.2) ** 2))
        shape = body * (0.6 + 0.75 * rim)
    elif label == "speckled":
        grain = scan.standard_normal(distance.shape, dtype=np.float32)
        shape = body * (1 + 0.35 * _smooth(grain, 2))
    else:
        shape = body
    mean = float(shape[lesion.mask].mean()) if lesion.mask.any() else 1.0
    return np.asarray(shape / max(mean, 1e-6), dtype=np.float32)


def _head(head: np.random.Generator, scan: np.random.Generator, x: Map, y: Map) -> Map:
    wide, high = head.uniform(0.72, 0.85), head.uniform(0.82, 0.93)
    distance = np.hypot((x - scan.normal(0, 0.02)) / wide, (y - scan.normal(0, 0.02)) / high)
    tissue = head.uniform(0.3, 0.42) * _soft(0.9 - distance, 0.03)
    skull = head.uniform(0.3, 0.5) * np.exp(-(((distance - 0.97) / 0.045) ** 2))
    lean, tilt = head.uniform(0, 0.15), head.uniform(0, 2 * np.pi)
    bias = 1 + lean * (np.cos(tilt) * x + np.sin(tilt) * y)
    folds = 1 + 0.12 * np.sin(head.uniform(4, 9) * x + head.uniform(0, 6)) * np.sin(
        head.uniform(4, 9) * y + head.uniform(0, 6)
    )
    return np.asarray(tissue * bias * folds + skull, dtype=np.float32)


def _vessels(scan: np.random.Generator, x: Map, y: Map) -> Map:
    """Return a few small bright points: what a lesion is not."""
    points = (
        _blob(scan.uniform(-0.5, 0.5, 2), scan.uniform(0.001, 0.004), x, y) for _ in range(3)
    )
    return np.float32(0.25) * sum(points, np.zeros((1, 1), dtype=np.float32))


def _spot(scan: np.random.Generator, x: Map, y: Map) -> Map:
    """Return a soft bright spot, as large as a lesion but without an outline."""
    blob = _blob(scan.uniform(-0.5, 0.5, 2), scan.uniform(0.02, 0.06), x, y)
    return np.float32(scan.uniform(0.4, 1.1)) * blob


def _blob(centre: NDArray[np.float64], width: float, x: Map, y: Map) -> Map:
    """Return a Gaussian of height 1, as the product of a row and a column."""
    across = np.exp(-((x - np.float32(centre[0])) ** 2) / np.float32(width))
    down = np.exp(-((y - np.float32(centre[1])) ** 2) / np.float32(width))
    return np.asarray(across * down, dtype=np.float32)


def _soft(depth: Map, width: float) -> Map:
    """Return 0 outside and 1 inside, with an edge of ``width``."""
    return np.asarray(1 / (1 + np.exp(np.clip(-depth / width, -30, 30))), dtype=np.float32)


def _smooth(grain: Map, times: int = 1) -> Map:
    """Return white noise of variance 1 blurred by [1 2 1] down and across, of variance 1 again."""
    kernel = np.ones(1)
    for _ in range(times):
        for axis in (0, 1):
            grain = 2 * grain + np.roll(grain, 1, axis) + np.roll(grain, -1, axis)
        kernel = np.convolve(kernel, [1, 2, 1])
    return grain / np.float32(np.square(kernel).sum())
