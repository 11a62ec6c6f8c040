"""Forward-only runtimes of a network: PyTorch, ONNX Runtime or OpenVINO behind one call.

Exporting and running are apart: ``export_onnx`` needs PyTorch, its file does not
(``kdray.onnx``).
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdray.onnx import IMAGES, LOGITS, SHARED, run_onnx

#: ``auto`` takes the fastest one that is installed and gives the network's own logits.
Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]
#: Arithmetic inside the network; images and logits stay float32.
Precision = Literal["float32", "bfloat16"]
#: Images ``[B, c, H, W]``, and what all of them share, to logits ``[B, C]``; all float32.
Forward = Callable[..., Tensor]

#: The logits of a runtime may differ from those of PyTorch by this share of the largest one.
#: Measured on trained networks: float32 2e-6, bfloat16 0.01.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}

logger = logging.getLogger(__name__)
_Inputs = tuple[Tensor, ...]


def forward_only(
    module: nn.Module,
    example: Tensor,
    runtime: Runtime = "auto",
    precision: Precision = "float32",
    shared: Tensor | None = None,
) -> Forward:
    """Return the network as a function of images, without gradients.

    A runtime other than PyTorch takes seconds to make, computes on the CPU alone, with no more
    threads than PyTorch has at that moment, and keeps the weights that the network has then. It
    is taken only if its logits of the example are PyTorch's; otherwise the next one is, and a
    warning is logged.

    Args:
        module: The network in eval mode.
        example: Images ``[B, c, H, W]`` of the size that will be asked for; any number may be
            asked for later.
        runtime: What computes it; ``auto``: OpenVINO, ONNX Runtime or PyTorch, the first that is
            installed and right.
        precision: Arithmetic of OpenVINO and PyTorch; ONNX Runtime knows float32 only.
        shared: A second input, where the network has one: the same for all images of a call.
    """
    inputs = (example,) if shared is None else (example, shared)
    for name in _candidates(example, runtime, precision):
        problems = []
        for make in _MAKERS[name]:
            try:
                forward = make(module, inputs, precision)
                problem = _difference(forward, _torch(module), inputs, precision)
            except Exception as error:  # converters raise whatever they like
                problem = f"{type(error).__name__}: {error}".splitlines()[0]
            if not problem:
                return forward
            problems.append(problem)
        logger.warning("%s cannot compute this network: %s", name, "; ".join(problems))
    return _torch(module, precision)


def installed(runtime: Runtime) -> bool:
    """Return whether a runtime can be imported here."""
    return runtime == "auto" or importlib.util.find_spec(runtime) is not None


def export_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    shared: Tensor | None = None,
    outputs: Sequence[str] = (LOGITS,),
) -> None:
    """Write a network as an ONNX file: ``images [B, c, H, W]`` to ``logits [B, C]``, any ``B``.

    Args:
        module: The network in eval mode, on the CPU.
        example: Images ``[B, c, H, W]``; height and width are fixed to theirs.
        path: Where to write.
        shared: A second input, where the network has one; its size is fixed too.
        outputs: Names of what it returns, each of ``B`` images.
    """
    inputs = (example,) if shared is None else (example, shared)
    with _quiet():
        # The exporter that follows TorchScript needs no further package and is faster, though
        # deprecated; the other one needs onnxscript.
        torch.onnx.export(
            module,
            _some(inputs, 2),
            str(path),
            dynamo=False,
            input_names=[IMAGES, SHARED][: len(inputs)],
            output_names=list(outputs),
            dynamic_axes={name: {0: "B"} for name in (IMAGES, *outputs)},
        )


def _candidates(example: Tensor, runtime: Runtime, precision: Precision) -> tuple[str, ...]:
    if example.device.type != "cpu" or runtime == "torch":
        return ()
    wanted = ("openvino", "onnxruntime") if runtime == "auto" else (runtime,)
    known = wanted if precision == "float32" else [name for name in wanted if name == "openvino"]
    missing = [name for name in known if not installed(name)]  # type: ignore[arg-type]
    if missing and runtime != "auto":
        logger.warning("%s is not installed; PyTorch computes instead", runtime)
    return tuple(name for name in known if name not in missing)


def _difference(forward: Forward, own: Forward, inputs: _Inputs, precision: Precision) -> str:
    """Return what is wrong with the logits of a runtime, or nothing."""
    some = _some(inputs, 3)  # not as many as were traced
    expected = own(*some)
    error = (forward(*some) - expected).abs().max().item()
    allowed = TOLERANCE[precision] * max(1e-3, expected.abs().max().item())
    return "" if error <= allowed else f"its logits differ by {error:.3g}."


def _torch(module: nn.Module, precision: Precision = "float32") -> Forward:
    def forward(*inputs: Tensor) -> Tensor:
        lower = torch.autocast(inputs[0].device.type, torch.bfloat16, precision == "bfloat16")
        with torch.inference_mode(), lower:
            logits: Tensor = module(*inputs)
        return logits.float()

    return forward


def _onnxruntime(module: nn.Module, inputs: _Inputs, precision: Precision) -> Forward:
    with TemporaryDirectory(prefix="kdray-") as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(module, inputs[0], path, _shared(inputs))
        run = run_onnx(path, torch.get_num_threads())
    return lambda *inputs: torch.from_numpy(run(*_arrays(inputs))[0])


def _openvino(module: nn.Module, inputs: _Inputs, precision: Precision) -> Forward:
    with TemporaryDirectory(prefix="kdray-") as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(module, inputs[0], path, _shared(inputs))
        return _compiled(_openvino_itself().Core().read_model(path), precision)


def _openvino_direct(module: nn.Module, inputs: _Inputs, precision: Precision) -> Forward:
    """Take longer, but over networks that cannot be exported with any number of images."""
    openvino = _openvino_itself()
    first, *rest = inputs
    shapes = [[-1, *first.shape[1:]], *(list(shared.shape) for shared in rest)]
    with _quiet():
        # Shared weights would follow when the network is trained or re-initialised further.
        network = openvino.convert_model(
            module,
            example_input=_some(inputs, 2),
            input=[openvino.PartialShape(shape) for shape in shapes],
            share_weights=False,
        )
    return _compiled(network, precision)


def _compiled(network: Any, precision: Precision) -> Forward:
    compiled = _openvino_itself().compile_model(
        network,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        },
    )
    request = compiled.create_infer_request()

    def forward(*inputs: Tensor) -> Tensor:
        return torch.from_numpy(request.infer(_arrays(inputs), share_inputs=True)[0])

    return forward


def _openvino_itself() -> Any:
    """Return the library, kept from reporting its use to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _shared(inputs: _Inputs) -> Tensor | None:
    return inputs[1] if len(inputs) > 1 else None


def _arrays(inputs: _Inputs) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in inputs]


def _some(inputs: _Inputs, count: int) -> _Inputs:
    """Return so many images; tracing would take the number of a single one for a constant."""
    images, *shared = (tensor.detach() for tensor in inputs)
    return (images[torch.arange(count) % len(images)].contiguous(), *shared)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep converters' warnings of their own deprecation from the user."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


_Maker = Callable[[nn.Module, _Inputs, Precision], Forward]
_MAKERS: dict[str, tuple[_Maker, ...]] = {
    "onnxruntime": (_onnxruntime,),
    "openvino": (_openvino, _openvino_direct),
}
