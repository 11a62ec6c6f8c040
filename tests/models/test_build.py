from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kdray.errors import JobError, ModelError
from kdray.models import build_model, load_weights
from kdray.net import Net

SMALL = {"widths": [4, 4, 4, 4, 4]}


def small(**changes: Any) -> Net:
    settings = {"channels": 3, "classes": 4, "image_size": 32, **changes}
    return build_model("cnn5", SMALL, **settings)


def state(net: Net) -> dict[str, Tensor]:
    return net.module.state_dict()


def same(ours: Net, theirs: Net) -> bool:
    pairs = zip(state(ours).values(), state(theirs).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def saved(net: Net, folder: Path) -> str:
    """Save a network whose normalisation has seen images, return the file's path."""
    net.module(torch.randn(8, *_input(net.module), generator=torch.Generator().manual_seed(1)))
    path = folder / "model.safetensors"
    save_file(state(net), path)
    return str(path)


def _input(module: nn.Module) -> tuple[int, int, int]:
    first = next(iter(module.parameters()))
    return int(first.shape[1]), 32, 32


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = small(seed=3)
    torch.manual_seed(2)
    assert same(first, small(seed=3))
    assert not same(first, small(seed=4))


def test_the_global_random_state_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    small(seed=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(JobError, match=r"no model is called 'cnn6'\. Did you mean 'cnn5'"):
        build_model("cnn6", {}, channels=3, classes=4, image_size=32)


@pytest.mark.parametrize("form", ["path", "file URI"])
def test_saved_weights_come_back(form: str, tmp_path: Path) -> None:
    net = small(seed=1)
    path = saved(net, tmp_path)
    weights = path if form == "path" else Path(path).as_uri()
    assert same(net, small(seed=2, weights=weights))


def test_a_head_for_other_classes_starts_anew_and_says_so(tmp_path: Path) -> None:
    path = saved(small(seed=1, classes=10), tmp_path)
    fresh = small(seed=2)
    head = fresh.module.head.weight.clone()  # type: ignore[union-attr, operator]
    notes = load_weights(fresh.module, path, channels=3, classes=4)
    assert notes == (
        "head.weight starts anew: the file has 10 classes",
        "head.bias starts anew: the file has 10 classes",
    )
    assert torch.equal(fresh.module.head.weight, head)  # type: ignore[union-attr, arg-type]


def test_weights_for_colour_answer_the_same_on_grey_images(tmp_path: Path) -> None:
    colour = small(seed=1)
    grey = small(seed=2, channels=1, weights=saved(colour, tmp_path))
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = colour.module.eval()(image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey.module.eval()(image), expected)


def test_weights_for_grey_answer_the_same_on_colourless_colour_images(tmp_path: Path) -> None:
    grey = small(seed=1, channels=1)
    colour = small(seed=2, weights=saved(grey, tmp_path))
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = grey.module.eval()(image)
    torch.testing.assert_close(colour.module.eval()(image.expand(-1, 3, -1, -1)), expected)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(nn.Linear(3, 4).state_dict(), path)
    with pytest.raises(
        ModelError, match=r"another architecture: it lacks 27 of 32 tensors.*has 2"
    ):
        small(weights=str(path))


def test_weights_of_other_widths_are_refused(tmp_path: Path) -> None:
    wide = build_model("cnn5", {"widths": [4, 4, 4, 4, 8]}, channels=3, classes=4, image_size=32)
    with pytest.raises(ModelError, match=r"stages\.4\.conv\.weight has shape \[8, 4, 3, 3\]"):
        small(weights=saved(wide, tmp_path))


def test_a_missing_file_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no such file\. weights: none \| imagenet \| PATH"):
        small(weights=str(tmp_path / "none.safetensors"))


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(ModelError, match="is no safetensors file"):
        small(weights=str(path))
