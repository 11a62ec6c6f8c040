"""Packages with the files of serving, of small networks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from kdray.explain._watch import hooked
from kdray.models import build_model
from kdray.net import Net
from kdray.registry.package import checksum, write_package

CLASSES = ("cat", "dog", "owl")
SIDE = 32


class Both(nn.Module):
    """Images to logits and the maps at the tap `cam`."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net, self.module = net, net.module

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append(self.net.taps["cam"].as_maps(output.clone()))

        with hooked(self.net.layer("cam"), keep):
            return self.module(images), seen[0]


def write(folder: Path, name: str, params: dict[str, Any], channels: int, side: int) -> Path:
    net = build_model(
        name, params, channels=channels, classes=len(CLASSES), image_size=side, seed=3
    )
    info = SimpleNamespace(
        classes=CLASSES,
        image_size=side,
        channels=channels,
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.3, 0.25)[:channels],
    )
    model = {"name": name, "params": params}
    write_package(folder, net, model=model, id=name, role="student", info=info, lineage={})
    export(net, folder / "model.onnx", channels, side)
    save_file({"nothing": np.zeros(1, np.float32)}, str(folder / "serving.safetensors"))
    facts = {
        "format": 1,
        "onnx": described(folder / "model.onnx"),
        "arrays": described(folder / "serving.safetensors"),
        "validation": None,
        "tap": "cam",
        "head": None,
        "confidence": None,
    }
    (folder / "serving.json").write_text(json.dumps(facts))
    return folder


def described(file: Path) -> dict[str, Any]:
    return {"file": file.name, "sha256": checksum(file), "bytes": file.stat().st_size}


def export(net: Net, path: Path, channels: int, side: int) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Both(net).eval(),
            (torch.zeros(2, channels, side, side),),
            str(path),
            dynamo=False,
            input_names=["images"],
            output_names=["logits", "maps"],
            dynamic_axes={name: {0: "B"} for name in ("images", "logits", "maps")},
        )


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a call that gives the package of a model, with the files of serving."""
    made: dict[str, Path] = {}

    def call(name: str, channels: int = 3, side: int = SIDE, **params: Any) -> Path:
        key = json.dumps([name, channels, side, params])
        if key not in made:
            folder = tmp_path_factory.mktemp("package")
            made[key] = write(folder, name, params, channels, side)
        return made[key]

    return call


@pytest.fixture
def photos() -> np.ndarray:
    """Return three smooth images, uint8 ``[3, 32, 32, 3]``."""
    rough = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    smooth = nn.functional.interpolate(rough, (SIDE, SIDE), mode="bilinear")
    return (255 * smooth).permute(0, 2, 3, 1).round().byte().numpy()
