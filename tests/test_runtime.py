from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kdray import runtime
from kdray.models import build_model
from kdray.onnx import run_onnx

RUNTIMES = ["torch", "onnxruntime", "openvino"]


class Prefixed(nn.Module):
    """A token before the patches: what exports with a fixed number of images."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.ones(1, 1, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(images.shape[0], -1, -1), tokens], dim=1)
        logits: Tensor = self.head(tokens.softmax(dim=1).mean(dim=1))
        return logits


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.Hardswish(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


@pytest.fixture(params=["convolutions", "token", "hdkd"])
def module(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if request.param == "hdkd":
            net = build_model("hdkd", {}, channels=3, classes=3, image_size=16)
            return net.module.eval()
        return (convolutional() if request.param == "convolutions" else Prefixed()).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def logits_of(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = module(images)
    return logits


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_gives_the_logits_of_the_network(
    name: runtime.Runtime, module: nn.Module, images: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    forward = runtime.forward_only(module, images[:1], name)
    for some in (images, images[:1], images[:3]):
        torch.testing.assert_close(forward(some), logits_of(module, some), atol=1e-5, rtol=1e-4)
    assert not caplog.records  # none had to be replaced by PyTorch


def test_a_runtime_keeps_the_weights_it_was_made_of(images: Tensor) -> None:
    module = convolutional().eval()
    expected = logits_of(module, images)
    forward = runtime.forward_only(module, images, "openvino")
    with torch.no_grad():
        for weights in module.parameters():
            weights.zero_()
    torch.testing.assert_close(forward(images), expected, atol=1e-5, rtol=1e-4)


def test_auto_takes_openvino_first(monkeypatch: pytest.MonkeyPatch, images: Tensor) -> None:
    def made(*_: object) -> runtime.Forward:
        return lambda some: logits_of(module, some)

    module = convolutional().eval()
    monkeypatch.setitem(runtime._MAKERS, "openvino", (made,))
    monkeypatch.setitem(runtime._MAKERS, "onnxruntime", ())
    assert runtime.forward_only(module, images).__qualname__.startswith("test_auto")


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Hear warnings whatever the rest of the suite has made of the loggers."""
    logger = logging.getLogger("kdray.runtime")
    caplog.set_level(logging.WARNING, logger=logger.name)
    logger.disabled = False


def test_a_runtime_with_other_logits_is_replaced_and_said(
    monkeypatch: pytest.MonkeyPatch, images: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*_: object) -> runtime.Forward:
        return lambda some: torch.ones(len(some), 3)

    module = convolutional().eval()
    monkeypatch.setitem(runtime._MAKERS, "openvino", (wrong,))
    forward = runtime.forward_only(module, images)
    torch.testing.assert_close(forward(images), logits_of(module, images), atol=1e-5, rtol=1e-4)
    assert "openvino cannot compute this network: its logits differ" in caplog.text


def test_a_network_that_no_converter_takes_stays_with_pytorch(
    monkeypatch: pytest.MonkeyPatch, images: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> runtime.Forward:
        raise RuntimeError("no such layer\nand a long trace")

    module = convolutional().eval()
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setitem(runtime._MAKERS, name, (fails,))
    forward = runtime.forward_only(module, images)
    torch.testing.assert_close(forward(images), logits_of(module, images), atol=0, rtol=0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "long trace" not in caplog.text


def test_what_is_not_installed_is_replaced_by_the_next(
    monkeypatch: pytest.MonkeyPatch, images: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "installed", lambda name: False)
    module = convolutional().eval()
    forward = runtime.forward_only(module, images, "openvino")
    torch.testing.assert_close(forward(images), logits_of(module, images), atol=0, rtol=0)
    assert "openvino is not installed" in caplog.text


def test_bfloat16_is_near(images: Tensor) -> None:
    module = convolutional().eval()
    expected = logits_of(module, images)
    for name in ("torch", "openvino"):
        forward = runtime.forward_only(module, images, name, "bfloat16")  # type: ignore[arg-type]
        torch.testing.assert_close(forward(images), expected, atol=0.02, rtol=0.05)


def test_an_exported_file_answers_arrays(tmp_path: Path, images: Tensor) -> None:
    module, path = convolutional().eval(), tmp_path / "network.onnx"
    runtime.export_onnx(module, images, path)
    found = torch.from_numpy(run_onnx(path, threads=1)(images.numpy())[0])
    torch.testing.assert_close(found, logits_of(module, images), atol=1e-5, rtol=1e-4)


def test_openvino_reports_to_nobody(images: Tensor) -> None:
    import sys

    runtime.forward_only(convolutional().eval(), images, "openvino")
    assert sys.modules["openvino_telemetry"] is None
