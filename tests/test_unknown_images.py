"""Whether a small trained network knows images of another kind when it sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kdray.confidence import Confidence
from kdray.data import Dataset, DatasetInfo, prepare
from kdray.data._views import Views
from kdray.edge._pixels import Standard
from kdray.export import write_serving
from kdray.images import decode, fit
from kdray.models import build_model
from kdray.onnx import MAPS, run_onnx
from kdray.registry import write_package
from kdray.registry.serving import read_serving
from kdray.spec.data import Data
from kdray.spec.experiment import Augment

Pixels = NDArray[np.uint8]
SIDE, EPOCHS = 48, 12
WIDTHS = {"widths": [8, 16, 16, 24, 24]}


class Trained:
    """A network that tells drawn scans apart, as it is served."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.dataset = dataset
        self.serving = read_serving(folder)
        info = dataset.info
        self._standard = Standard(info.mean, info.std)
        self._run = run_onnx(folder / self.serving.onnx.file, 1, (MAPS,))
        found = self.serving.read_confidence(self.serving.read_arrays())
        assert found is not None
        self.confidence: Confidence = found

    def scores(self, images: Pixels) -> NDArray[np.float32]:
        [maps] = self._run(self._standard(images))
        found = self.confidence.ood(maps.mean((2, 3)))
        assert found is not None
        return found

    def area(self, strange: Pixels) -> float:
        """Return the share of pairs of a test scan and a strange image that are told apart."""
        known = self.scores(self.dataset.images(self.dataset.split("test")))[:, None]
        other = self.scores(strange)[None]
        return float(np.mean((other > known) + 0.5 * (other == known)))


def train(dataset: Dataset, info: DatasetInfo) -> torch.nn.Module:
    net = build_model("cnn5", WIDTHS, channels=1, classes=2, image_size=SIDE, seed=1)
    views = Views(Augment(), 0, info.mean, info.std, torch.device("cpu"))
    places = dataset.split("train")
    images = views.plain(dataset.images(places))
    labels = torch.from_numpy(dataset.labels[places])
    optimizer = torch.optim.Adam(net.module.parameters(), 3e-3)
    random = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for some in torch.randperm(len(labels), generator=random).split(32):
            loss = torch.nn.functional.cross_entropy(net.module(images[some]), labels[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.module


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    params = {"num_images": 600, "size": SIDE, "classes": ["none", "solid"]}
    source = {"name": "phantom", "params": params}
    images, folder = (tmp_path_factory.mktemp(name) for name in ("images", "package"))
    data = Data.model_validate({"source": source, "image_size": SIDE, "channels": 1})
    prepare(data, images)
    dataset = Dataset.open(images)
    info = dataset.info
    module = train(dataset, info)
    net = build_model("cnn5", WIDTHS, channels=1, classes=2, image_size=SIDE)
    net.module.load_state_dict(module.state_dict())
    model = {"name": "cnn5", "params": WIDTHS}
    write_package(folder, net, model=model, id="cnn", role="student", info=info, lineage={})
    validation = dataset.split("val")
    problem = write_serving(
        folder,
        train=dataset.images(dataset.split("train")),
        validation=dataset.images(validation),
        labels=dataset.labels[validation],
    )
    assert problem == ""
    return Trained(folder, dataset)


def test_scans_of_the_test_split_are_seldom_flagged(trained: Trained) -> None:
    scores = trained.scores(trained.dataset.images(trained.dataset.split("test")))
    assert np.mean(scores > 0.99) < 0.1
    assert 0.3 < np.mean(scores) < 0.7


@pytest.mark.parametrize("kind", ["noise", "white", "turned inside out"])
def test_images_of_another_kind_are_told_from_drawn_scans(trained: Trained, kind: str) -> None:
    scans = trained.dataset.images(trained.dataset.split("test"))
    random = np.random.default_rng(0)
    strange = {
        "noise": random.integers(0, 256, scans.shape, dtype=np.uint8),
        "white": np.full_like(scans[:1], 255),
        "turned inside out": 255 - scans,
    }
    assert trained.area(strange[kind]) > 0.99


def test_photographs_of_skin_are_told_from_drawn_scans(
    trained: Trained, real_images: Path
) -> None:
    files = sorted((real_images / "ph2" / "test").rglob("*.jpg"))[:30]
    if not files:
        pytest.skip("the dermoscopy images are not here")
    images = [fit(decode(file.read_bytes()), SIDE, 1) for file in files]
    assert trained.area(np.stack(images)) > 0.99
