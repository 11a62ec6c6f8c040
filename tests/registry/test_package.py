"""Packages keep a model whole, and notice damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdray.errors import RegistryError
from kdray.models import build_model
from kdray.registry import read_package


def test_a_package_gives_back_the_same_network(make_package: Callable[..., Path]) -> None:
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    package = read_package(make_package(7))
    model = package.model
    written = build_model(**model, channels=1, classes=3, image_size=32, seed=7)
    written.module.eval()
    read = package.build()
    torch.testing.assert_close(read.module(images), written.module(images), rtol=0, atol=0)


def test_a_built_network_is_in_eval_mode(make_package: Callable[..., Path]) -> None:
    assert not read_package(make_package()).build().module.training


def test_a_package_knows_its_classes_and_input(
    make_package: Callable[..., Path], info: Any
) -> None:
    package = read_package(make_package())
    assert package.classes == info.classes
    assert (package.image_size, package.channels) == (32, 1)
    np.testing.assert_allclose((*package.mean, *package.std), (0.4, 0.2))


def test_the_recorded_checksum_is_that_of_the_weights(make_package: Callable[..., Path]) -> None:
    folder = make_package()
    recorded = json.loads((folder / "model.json").read_text())["weights"]
    data = (folder / "model.safetensors").read_bytes()
    assert recorded["sha256"] == hashlib.sha256(data).hexdigest()
    assert recorded["bytes"] == len(data)


def test_one_changed_byte_of_the_weights_is_refused_with_the_name_of_the_file(
    make_package: Callable[..., Path],
) -> None:
    folder = make_package()
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(RegistryError, match=r"model\.safetensors: is damaged"):
        read_package(folder)


def test_missing_weights_are_refused_with_the_name_of_the_file(
    make_package: Callable[..., Path],
) -> None:
    folder = make_package()
    (folder / "model.safetensors").unlink()
    with pytest.raises(RegistryError, match=r"model\.safetensors.*missing"):
        read_package(folder)


def test_a_weights_file_outside_the_folder_is_refused(make_package: Callable[..., Path]) -> None:
    folder = make_package()
    manifest = json.loads((folder / "model.json").read_text())
    manifest["weights"]["file"] = "../package-0/model.safetensors"
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(RegistryError, match="missing"):
        read_package(folder)


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="there is no package here"):
        read_package(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 2}'])
def test_a_broken_manifest_is_refused_with_the_name_of_the_file(
    make_package: Callable[..., Path], text: str
) -> None:
    folder = make_package()
    (folder / "model.json").write_text(text)
    with pytest.raises(RegistryError, match=r"model\.json"):
        read_package(folder)


def test_weights_of_another_network_are_refused(make_package: Callable[..., Path]) -> None:
    folder = make_package()
    manifest = json.loads((folder / "model.json").read_text())
    manifest["classes"].append("one more")
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(RegistryError, match="do not fit the model cnn5"):
        read_package(folder).build()


def test_metrics_and_card_are_empty_where_there_are_none(
    make_package: Callable[..., Path],
) -> None:
    package = read_package(make_package())
    assert (package.metrics(), package.card()) == ({}, "")


def test_a_package_holds_no_pickle(make_package: Path) -> None:
    names = sorted(file.name for file in make_package().iterdir())
    assert names == ["model.json", "model.safetensors"]
