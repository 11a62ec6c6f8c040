"""Whether each model of the papers can be served without PyTorch, and explained without it.

The networks are real, with quick random weights: the structure is tested, not the numbers.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from kdray import parts
from kdray.errors import ModelError
from kdray.export._head import head_of
from kdray.export._network import write_network
from tests.models.test_zoo_maps import SIZE, quick

NAMES = list(parts.presets("models"))
#: Models whose gradient maps need PyTorch: what follows the map is attention, not a plain chain.
WITHOUT_HEAD = {"hdkd", "hdkd_student", "pvt_tiny", "deit_base", "crossvit_tiny", "cskd_tiny"}
#: Models that cannot be written as ONNX at the size of this test, and why.
WITHOUT_NETWORK = {
    "vgg19_fc": "pools its 2 x 2 places to 7 x 7; at 224 pixels it has 7 x 7",
}
#: Models whose last maps go through other layers than a mean first.
OTHER_LAYERS = {
    "cnn5": "max_pool",
    "cnn5_exact": "max_pool",
    "cnn5_100px": "max_pool",
    "cnn5_72px": "max_pool",
    "cnn5_small": "max_pool",
    "vgg19_fc": "average_pool",
}


def images() -> torch.Tensor:
    return torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_served_by_onnx_runtime_and_explained_by_numpy(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    net = quick(name)
    net.module.eval().requires_grad_(False)
    if name in WITHOUT_NETWORK:
        with pytest.raises(ModelError, match="cannot be written as ONNX"):
            write_network(net, "cam", images(), tmp_path / "model.onnx")
    else:
        write_network(net, "cam", images(), tmp_path / "model.onnx")  # compares it with PyTorch
    facts, arrays = head_of(net, "cam", images()[:2], net.module.state_dict())
    if name in WITHOUT_HEAD:
        assert facts is None
        assert "Gradient maps need PyTorch" in caplog.text
        return
    assert facts is not None
    assert facts[0]["kind"] == OTHER_LAYERS.get(name, "mean")
    assert arrays == {}  # all of them are in the weights of the package
