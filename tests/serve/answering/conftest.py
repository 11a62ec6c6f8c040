"""A registry of small models: three versions of one, of which one needs no PyTorch; a teacher."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdray.export import write_serving
from kdray.models import build_model
from kdray.registry import Registry, write_package
from kdray.spec.service import ServedModel, Service
from kdray_serve.work import Caller, Upload

CLASSES = ("glioma", "meningioma", "no tumor")
SIDE = 32
WIDTHS = {"widths": [4, 8, 8, 12, 16]}
AGREED = {"pearson": {"mean": 0.8}, "chance_pearson": {"mean": 0.3}, "chance_ssim": {"mean": 0.2}}


def images(count: int, seed: int) -> np.ndarray:
    """Return smooth images, uint8 ``[count, SIDE, SIDE, 1]``."""
    dice = np.random.default_rng(seed)
    rough = [Image.fromarray(dice.integers(0, 256, (6, 6), np.uint8)) for _ in range(count)]
    return np.stack([np.asarray(one.resize((SIDE, SIDE)))[..., None] for one in rough])


def write(folder: Path, seed: int, role: str, lineage: dict[str, Any], metrics: Any) -> Path:
    folder.mkdir()
    net = build_model("cnn5", WIDTHS, channels=1, classes=3, image_size=SIDE, seed=seed)
    info = SimpleNamespace(classes=CLASSES, image_size=SIDE, channels=1, mean=(0.5,), std=(0.25,))
    model = {"name": "cnn5", "params": WIDTHS}
    write_package(folder, net, model=model, id=f"s{seed}", role=role, info=info, lineage=lineage)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder


def without_torch(folder: Path) -> None:
    problem = write_serving(
        folder,
        train=images(20, 1),
        validation=images(30, 2),
        labels=np.arange(30) % 3,
        samples=[(images(1, 3)[0], "glioma")],
    )
    assert not problem


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of `brain` 1, 2, 3 (2 is the champion) and of `teacher.t` 1."""
    root = tmp_path_factory.mktemp("kept")
    registry = Registry(str(root / "registry"))
    teacher = write(root / "teacher", 9, "teacher", {}, {})
    registry.add("teacher.t", teacher, key="t")
    facts = {"id": "t", "name": "teacher.t", "version": 1}
    facts["sha256"] = registry.describe("teacher.t", 1)["weights"]["sha256"]
    metrics = {"explanations": {"agreement": [{"method": "gradcam", "all": AGREED}]}}
    for seed in (1, 2, 3):
        folder = write(root / f"{seed}", seed, "student", {"teacher": facts}, metrics)
        if seed == 2:  # exporting takes seconds
            without_torch(folder)
        registry.add("brain", folder, key=str(seed))
    registry.promote("brain", 1)
    registry.promote("brain", 2)
    return root / "registry"


@pytest.fixture
def registry(kept: Path, tmp_path: Path) -> Registry:
    """Return a copy of the registry, to move aliases and damage files in."""
    shutil.copytree(kept, tmp_path / "registry")
    return Registry(str(tmp_path / "registry"))


@pytest.fixture
def service(registry: Registry) -> Callable[..., Service]:
    """Return a function that makes a service of `brain` with the given fields."""

    def make(**fields: Any) -> Service:
        given = {"models": (ServedModel(name="brain"),), "refresh_seconds": 0, **fields}
        return Service(
            apiVersion="kdray/v1", kind="Service", name="t", registry=registry.uri, **given
        )

    return make


@pytest.fixture(scope="session")
def caller() -> Caller:
    return Caller("tester", frozenset({"predict", "explain"}), "r-1")


@pytest.fixture(scope="session")
def uploads() -> list[Upload]:
    """Return twenty different PNG files."""
    found = []
    for number, pixels in enumerate(images(20, 4)):
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0]).resize((40, 36)).save(buffer, "PNG")
        found.append(Upload(buffer.getvalue(), f"scan-{number}.png"))
    return found


def damage(registry: Registry, version: int) -> None:
    """Change a byte of the weights of `brain`."""
    file = Path(registry.uri) / "brain" / "versions" / str(version) / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


@pytest.fixture
def damaged(registry: Registry) -> Callable[[int], None]:
    """Return a function that damages a version of `brain`."""
    return lambda version: damage(registry, version)
