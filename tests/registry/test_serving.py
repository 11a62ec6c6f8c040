"""What is told of the files by which a package is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kdray.export import write_serving
from kdray.registry import Registry, read_package
from kdray.registry.serving import read_serving


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 1), dtype=np.uint8)


def test_a_package_of_before_is_read_and_described_without_these_files(
    make_package: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_package()
    assert read_package(folder).serving is None
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add("brain", folder, key="a")
    assert registry.describe("brain", version)["serving"] is None


def test_a_version_tells_what_it_is_served_by_and_its_confidence(
    make_package: Callable[..., Path], tmp_path: Path
) -> None:
    folder, labels = make_package(), np.arange(12) % 3
    write_serving(folder, train=images(20), validation=images(12), labels=labels)
    registry = Registry(str(tmp_path / "registry"))
    told = registry.describe("brain", registry.add("brain", folder, key="a"))["serving"]
    assert told["onnx_bytes"] == (folder / "model.onnx").stat().st_size
    assert told["gradient_maps_without_torch"] is True
    assert (told["confidence"]["validation_images"], told["samples"]) == (12, 0)
    assert read_package(registry.fetch("brain", 1)).serving is not None


def test_an_exported_version_has_all_files_of_serving(
    make_package: Callable[..., Path], tmp_path: Path
) -> None:
    folder, labels = make_package(), np.arange(12) % 3
    write_serving(folder, train=images(20), validation=images(12), labels=labels)
    registry = Registry(str(tmp_path / "registry"))
    registry.export("brain", registry.add("brain", folder, key="a"), tmp_path / "out")
    serving = read_serving(tmp_path / "out")
    found, own = serving.read_confidence(), serving.read_confidence(serving.read_arrays())
    assert found is not None
    assert own is not None
    assert found.temperature == own.temperature
