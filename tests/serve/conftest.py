"""A registry with a small model of random weights, and image files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray.models import build_model
from kdray.registry import Registry, write_package
from kdray.spec.service import ServedModel, Service

WIDTHS = {"widths": [4, 8, 8, 12, 16]}


@dataclass(frozen=True)
class Info:
    classes: tuple[str, ...] = ("glioma", "meningioma", "no tumor", "pituitary")
    image_size: int = 64
    channels: int = 1
    mean: tuple[float, ...] = (0.2,)
    std: tuple[float, ...] = (0.2,)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URI of a registry with `brain` 1 and 2, of which 2 is the champion."""
    root = tmp_path_factory.mktemp("serve")
    registry = Registry(str(root / "registry"))
    for seed in (1, 2):
        folder = root / f"package-{seed}"
        folder.mkdir()
        net = build_model("cnn5", WIDTHS, channels=1, classes=4, image_size=64, seed=seed)
        write_package(
            folder,
            net,
            model={"name": "cnn5", "params": WIDTHS},
            id="cnn5",
            role="student",
            info=Info(),
            lineage={"job": "quickstart", "teacher": {"id": "resnet18"}, "seeds": [0, 1]},
        )
        registry.promote("brain", registry.add("brain", folder, key=str(seed)))
    return registry.uri


@pytest.fixture
def service(registry: str) -> Callable[..., Service]:
    """Return a function that makes a service of `brain` with the given fields."""

    def make(**fields: object) -> Service:
        given = {"models": (ServedModel(name="brain"),), "registry": registry, **fields}
        return Service(apiVersion="kdray/v1", kind="Service", name="test", **given)

    return make


def drawn(size: tuple[int, int] = (60, 48)) -> Image.Image:
    """Return a grey picture of a disc with a bright spot, width x height."""
    width, height = size
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    disc = 90.0 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.16)
    spot = 130.0 * np.exp(-((x - 0.62) ** 2 + (y - 0.4) ** 2) / 0.006)
    return Image.fromarray(np.clip(disc + spot, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def scan() -> bytes:
    """Return a PNG file."""
    return encoded(drawn())


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory: pytest.TempPathFactory, scan: bytes) -> Path:
    """Return the path of a PNG file."""
    file = tmp_path_factory.mktemp("scan") / "scan-017.png"
    file.write_bytes(encoded(drawn((512, 420))))
    return file


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Return the function that writes the drawn scan as another kind of file."""
    return lambda kind="PNG", mode="L", size=(60, 48), **options: encoded(
        drawn(size).convert(mode), kind, **options
    )
