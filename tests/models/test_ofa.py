from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kdray.errors import ModelError
from kdray.models import build_model
from kdray.net import Net


def built(weights: str = "none", seed: int = 0, classes: int = 3) -> Net:
    return build_model(
        "eeea_net_c2", {}, channels=3, classes=classes, image_size=32, weights=weights, seed=seed
    )


def test_a_file_with_the_authors_names_fits_by_its_order(tmp_path: Path) -> None:
    made = built(seed=1).module.state_dict()
    other = {
        f"layer{index}.{name[-6:]}": value for index, (name, value) in enumerate(made.items())
    }
    torch.save({"state_dict": other}, tmp_path / "init")
    loaded = built(str(tmp_path / "init")).module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in made.items())


def test_a_file_for_other_classes_keeps_a_new_head(tmp_path: Path) -> None:
    made = built(seed=1, classes=1000).module.state_dict()
    other = {f"layer{index}": value for index, value in enumerate(made.values())}
    torch.save(other, tmp_path / "init.pth")
    loaded = built(str(tmp_path / "init.pth")).module.state_dict()
    first = next(iter(made))
    assert torch.equal(loaded[first], made[first])
    assert loaded["classifier.weight"].shape[0] == 3


def test_a_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save({f"layer{i}": torch.zeros(1) for i in range(395)}, tmp_path / "init.pth")
    with pytest.raises(ModelError):
        built(str(tmp_path / "init.pth"))
