"""The files by which a package is served without PyTorch: theirs are PyTorch's own numbers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from kdray import export
from kdray.confidence import Confidence
from kdray.edge.head import Head
from kdray.errors import ModelError, RegistryError
from kdray.explain import Subject
from kdray.explain._head import gradients_of, head_from
from kdray.export import _files, write_serving
from kdray.models import build_model
from kdray.net import Wants, look
from kdray.onnx import LOGITS, MAPS, run_onnx
from kdray.registry import read_package, write_package
from kdray.registry.serving import Serving, read_serving

Pixels = NDArray[np.uint8]
CLASSES = ("cat", "dog", "owl")
SIDE = 32
WIDTHS = {"widths": [4, 8, 8, 12, 16]}


def images(count: int, seed: int) -> Pixels:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, SIDE, SIDE, 1), dtype=np.uint8)


def bare(folder: Path, name: str = "cnn5", params: dict[str, Any] | None = None) -> Path:
    """Return a package without files of serving."""
    folder.mkdir()
    params = WIDTHS if params is None else params
    net = build_model(name, params, channels=1, classes=3, image_size=SIDE, seed=3)
    info = SimpleNamespace(classes=CLASSES, image_size=SIDE, channels=1, mean=(0.4,), std=(0.2,))
    model = {"name": name, "params": params}
    write_package(folder, net, model=model, id=name, role="student", info=info, lineage={})
    return folder


def written(folder: Path, **changes: Any) -> Path:
    given = {"train": images(50, 1), "validation": images(30, 2), "labels": np.arange(30) % 3}
    assert write_serving(folder, **{**given, **changes}) == ""
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(
        bare(tmp_path_factory.mktemp("export") / "package"),
        samples=[(images(1, 9)[0], "owl"), (images(1, 8)[0], "cat")],
    )


@pytest.fixture(scope="module")
def serving(package: Path) -> Serving:
    return read_serving(package)


def standard(pixels: Pixels) -> torch.Tensor:
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.4) / 0.2


def test_the_network_gives_the_logits_and_maps_of_pytorch_for_any_number_of_images(
    package: Path, serving: Serving
) -> None:
    run, net = (
        run_onnx(package / serving.onnx.file, 1, (LOGITS, MAPS)),
        read_package(package).build(),
    )
    for count in (1, 2, 5):
        given = standard(images(count, count))
        with torch.no_grad():
            seen = look(net, given, Wants(taps=("cam",)))
        logits, maps = run(given.numpy())
        np.testing.assert_allclose(logits, seen.logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(maps, seen.maps["cam"], rtol=1e-4, atol=1e-5)


def test_the_head_gives_the_gradients_of_pytorch_from_the_maps_of_the_network(
    package: Path, serving: Serving
) -> None:
    assert serving.head is not None
    head = Head.read(serving.head, serving.read_arrays())
    given, classes = standard(images(3, 4)), np.array([[0, 2], [1, 0], [2, 1]])
    logits, maps = run_onnx(package / serving.onnx.file, 1, (LOGITS, MAPS))(given.numpy())
    own = head_from(Subject(read_package(package).build()), "cam", given)
    expected = gradients_of(own, torch.from_numpy(classes)).numpy()
    found = np.broadcast_to(head.gradients(maps, classes), expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(head.logits(maps), logits, rtol=1e-4, atol=1e-5)


def test_large_arrays_of_the_head_are_read_from_the_weights(serving: Serving) -> None:
    stored = serving.folder / serving.arrays.file
    assert b"head." not in stored.read_bytes()[:2000]
    assert set(serving.read_arrays()) >= {"weights.head.weight", "weights.head.bias"}


def test_the_confidence_is_fitted_on_the_logits_of_the_validation_images(
    package: Path, serving: Serving
) -> None:
    found = serving.read_confidence(serving.read_arrays())
    net = read_package(package).build()
    with torch.no_grad():
        seen, known = (
            look(net, standard(some), Wants(taps=("cam",)))
            for some in (images(30, 2), images(50, 1))
        )
    features, bank = (one.maps["cam"].mean((2, 3)).numpy() for one in (seen, known))
    expected = Confidence.fitted(seen.logits.numpy(), np.arange(30) % 3, features, bank)
    assert found is not None
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-3)
    assert found.facts()["ood_bank"] == 50
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


def test_what_is_kept_of_the_validation_images_is_their_hash(serving: Serving) -> None:
    kept = serving.read_validation()
    assert kept is not None
    expected = hashlib.sha256(images(30, 2)[7].tobytes()).digest()
    assert kept["images"][7].tobytes() == expected
    assert kept["logits"].shape == (30, 3)
    assert kept["labels"].tolist() == [index % 3 for index in range(30)]
    assert set(kept) == {"logits", "labels", "images"}


def test_samples_are_the_images_that_were_given_with_their_classes(
    package: Path, serving: Serving
) -> None:
    assert [(item.file, item.class_) for item in serving.samples] == [
        ("sample-0.png", "owl"),
        ("sample-1.png", "cat"),
    ]
    np.testing.assert_array_equal(Image.open(package / "sample-0.png"), images(1, 9)[0, :, :, 0])


def test_without_samples_no_image_travels_with_the_package(tmp_path: Path) -> None:
    folder = written(bare(tmp_path / "package"))
    assert sorted(file.name for file in folder.iterdir()) == [
        "model.json",
        "model.onnx",
        "model.safetensors",
        "serving.json",
        "serving.safetensors",
        "validation.safetensors",
    ]


def test_the_same_package_and_images_give_the_same_files(tmp_path: Path) -> None:
    folders = [written(bare(tmp_path / name)) for name in ("first", "second")]
    texts = [(folder / "serving.json").read_text() for folder in folders]
    facts = [json.loads(text) for text in texts]
    assert facts[0]["confidence"] == facts[1]["confidence"]
    assert facts[0]["arrays"] == facts[1]["arrays"]


def test_a_package_that_was_given_the_files_twice_is_whole(tmp_path: Path) -> None:
    folder = written(
        written(bare(tmp_path / "package")), validation=images(12, 5), labels=np.arange(12) % 3
    )
    facts = read_serving(folder).confidence
    assert read_package(folder).serving is not None
    assert facts is not None
    assert facts["validation_images"] == 12


def test_without_validation_images_nothing_is_said_of_confidence(tmp_path: Path) -> None:
    none = {"validation": images(0, 1), "labels": np.arange(0)}
    serving = read_serving(written(bare(tmp_path / "package"), **none))
    assert (serving.confidence, serving.validation) == (None, None)
    assert serving.read_validation() is None
    assert serving.head is not None


def test_a_network_that_cannot_be_written_leaves_the_package_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("network", "its logits differ by 3.")

    monkeypatch.setattr(_files, "write_network", refuse)
    folder = bare(tmp_path / "package")
    given = {"train": images(5, 1), "validation": images(5, 2), "labels": np.zeros(5, np.int64)}
    assert "differ by 3" in export.write_serving(folder, **given)
    assert read_package(folder).serving is None
    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize(
    "name", ["serving.json", "model.onnx", "serving.safetensors", "validation.safetensors"]
)
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_file_of_serving_that_is_damaged_or_missing_is_refused_by_its_name(
    package: Path, tmp_path: Path, name: str, harm: str
) -> None:
    for file in package.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).unlink()
    if harm == "changed":
        data = bytearray((package / name).read_bytes())
        data[-1] ^= 1
        (tmp_path / name).write_bytes(data)
    with pytest.raises(RegistryError, match=name):
        read_package(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"samples": [{}]}'])
def test_a_broken_description_is_refused_with_the_name_of_the_file(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "serving.json").write_text(text)
    with pytest.raises(RegistryError, match=r"serving\.json: is damaged"):
        read_serving(tmp_path)


def test_a_file_outside_the_folder_is_refused(package: Path, tmp_path: Path) -> None:
    facts = json.loads((package / "serving.json").read_text())
    facts["onnx"]["file"] = f"../{package.name}/model.onnx"
    (tmp_path / "serving.json").write_text(json.dumps(facts))
    with pytest.raises(RegistryError, match="missing"):
        read_serving(tmp_path)


def test_the_progress_ends_with_all_images_done(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    written(bare(tmp_path / "package"), say=lambda done, total: said.append((done, total)))
    assert said[-1] == (80, 80)
