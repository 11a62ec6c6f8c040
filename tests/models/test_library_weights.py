"""Weights files of timm and torchvision into the models that build on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models import build_model


def saved(module: nn.Module, folder: Path, wrap: str = "") -> str:
    path = folder / "weights.pth"
    state = module.state_dict()
    torch.save({wrap: state, "epoch": 3} if wrap else state, path)
    return str(path)


def state(name: str, weights: str, **changes: Any) -> dict[str, Tensor]:
    shape = {"channels": 3, "classes": 3, "image_size": 64, **changes}
    return build_model(name, {}, weights=weights, **shape).module.state_dict()


@pytest.mark.parametrize("wrap", ["", "state_dict", "model"])
def test_a_state_dict_is_read_alone_or_under_its_usual_name(wrap: str, tmp_path: Path) -> None:
    own = build_model("cnn5_small", {}, channels=3, classes=3, image_size=64, seed=5).module
    found = state("cnn5_small", saved(own, tmp_path, wrap))
    assert all(torch.equal(found[name], value) for name, value in own.state_dict().items())


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(nn.Linear(2, 2), path)  # a pickled module, not its state
    with pytest.raises(ModelError, match=r"cannot be read as a state dict.*state_dict\(\)"):
        state("cnn5_small", str(path))


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(ModelError, match="something else than a state dict"):
        state("cnn5_small", str(path))


def test_vgg_with_a_new_head_takes_torchvisions_convolutions(tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    features = torchvision.models.vgg19_bn(num_classes=2).features
    whole = {f"features.{name}": value for name, value in features.state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({**whole, "classifier.0.weight": torch.zeros(1)}, path)
    found = state("vgg19", str(path))
    assert all(torch.equal(found[name], value) for name, value in whole.items())


def test_mbcsa_takes_the_networks_own_weights_but_for_its_attention(tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    whole = torchvision.models.mobilenet_v3_large()
    found = state("mobilenet_v3_large_mbcsa", saved(whole, tmp_path))
    given = whole.state_dict()
    shared = [name for name in found if name in given and found[name].shape == given[name].shape]
    assert all(torch.equal(found[name], given[name]) for name in shared)
    assert {name for name in found if name not in given} == {
        name for name in found if ".channels." in name or ".places." in name
    }


def test_positions_for_another_image_size_are_resampled(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    whole = timm.create_model("deit_tiny_patch16_224", depth=1, img_size=32)
    path = saved(whole, tmp_path)
    params = {"arch": "deit_tiny_patch16_224", "args": {"depth": 1}}
    net = build_model("timm", params, channels=3, classes=3, image_size=64, weights=path)
    positions = net.module.get_parameter("pos_embed")
    assert positions.shape == (1, 1 + 16, 192)
    assert torch.equal(positions[:, 0], whole.pos_embed[:, 0])


def test_torchvisions_weights_that_cannot_be_had_name_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_args: Any, **_kwargs: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"get_model\('mobilenet_v2', weights='IMAGENET1K_V1'\)"):
        state("mobilenet_v2", "imagenet")


def test_torchvisions_weights_fit_grey_images_and_other_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torchvision

    torch.manual_seed(0)
    whole = torchvision.models.shufflenet_v2_x0_5().state_dict()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_a, **_k: whole
    )
    found = state("shufflenet_v2_x0_5", "imagenet", channels=1)
    torch.testing.assert_close(found["conv1.0.weight"], whole["conv1.0.weight"].sum(1, True))
    assert torch.equal(found["conv5.0.weight"], whole["conv5.0.weight"])
    assert found["fc.weight"].shape == (3, 1024)


@pytest.mark.parametrize("name", ["ofa_595", "eeea_net_c2", "pvt_tiny", "hdkd_teacher", "cnn5"])
def test_models_without_imagenet_weights_say_so(name: str) -> None:
    with pytest.raises(ModelError, match=r"no ImageNet weights.*Write weights: none, or a path"):
        state(name, "imagenet")
