from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from kdray.data import Views
from kdray.edge._pixels import Standard
from kdray.edge.model import EdgeModel
from kdray.errors import RegistryError
from kdray.infer import Predictor
from kdray.spec.experiment import Augment

Make = Callable[..., Path]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_standardised_as_for_training(channels: int) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(channels, axis=3)
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    trained = Views(Augment(), 0, mean, std).plain(pixels).numpy()
    np.testing.assert_allclose(Standard(mean, std)(pixels), trained, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_logits_are_those_of_pytorch(package: Make, photos: np.ndarray, count: int) -> None:
    folder = package("cnn5")
    found = EdgeModel(folder).look(photos[:count])
    assert found.logits.dtype == np.float32
    np.testing.assert_allclose(found.logits, Predictor(folder).logits(photos[:count]), atol=1e-4)


def test_features_are_the_means_of_the_maps(package: Make, photos: np.ndarray) -> None:
    folder = package("cnn5")
    net = Predictor(folder).package.build()
    seen: list[torch.Tensor] = []
    net.layer("cam").register_forward_hook(lambda _m, _i, output: seen.append(output))
    with torch.no_grad():
        net.module(torch.from_numpy(Standard((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))(photos)))
    found = EdgeModel(folder).look(photos)
    np.testing.assert_allclose(found.features, seen[0].mean(dim=(2, 3)), atol=1e-5)


def test_it_says_what_it_is(package: Make) -> None:
    folder = package("cnn5")
    model = EdgeModel(folder)
    assert model.classes == ("cat", "dog", "owl")
    assert model.runtime == "onnxruntime"
    assert model.bytes > (folder / "model.onnx").stat().st_size


def test_images_of_any_size_are_fitted(package: Make) -> None:
    model = EdgeModel(package("cnn5"))
    assert model.fit(np.zeros((50, 70), np.uint8)).shape == (32, 32, 3)


def test_threads_look_at_the_same_time(package: Make, photos: np.ndarray) -> None:
    model = EdgeModel(package("cnn5"))
    alone = model.look(photos).logits
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.look(photos).logits, range(20)))
    for logits in found:
        np.testing.assert_array_equal(logits, alone)


def test_a_package_without_the_files_is_refused(package: Make, tmp_path: Path) -> None:
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((package("cnn5") / name).read_bytes())
    manifest = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**manifest, "serving": None}))
    with pytest.raises(RegistryError, match="without PyTorch") as caught:
        EdgeModel(tmp_path)
    assert "Promote it again" in caught.value.remedy


@pytest.mark.parametrize("name", ["model.onnx", "serving.safetensors"])
def test_a_changed_file_is_refused(package: Make, tmp_path: Path, name: str) -> None:
    for file in package("cnn5").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"x")
    with pytest.raises(RegistryError, match="SHA-256"):
        EdgeModel(tmp_path)
