"""What a model costs to keep and to run: parameters, operations, latency, file size."""

from __future__ import annotations

import copy
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdray.net import Net

_WARM_UP = 3


def cost(
    net: Net, *, channels: int, image_size: int, repeats: int = 30, threads: int = 1
) -> dict[str, Any]:
    """Return what a model costs at batch size 1 on the CPU; the net itself is left as it is.

    Args:
        net: The model, on any device and in any mode.
        channels: Image channels.
        image_size: Height and width, pixels.
        repeats: Timed forward passes; the median is reported.
        threads: CPU threads of those passes.

    Returns:
        ``parameters`` (trainable or not), ``macs`` (multiply-accumulates of convolutions, matrix
        products and attention: half the FLOPs that torch counts), ``macs_ptflops`` (as HDKD
        counts, see ``macs_ptflops``; None with the reason in ``macs_ptflops_missing``),
        ``latency_ms``, ``threads`` and ``file_mb`` (the weights as safetensors, 1 MB = 10^6
        bytes).
    """
    shape = {"channels": channels, "image_size": image_size}
    names = ("parameters", "macs", "latency_ms", "file_mb")
    found = costs(net, names, **shape, repeats=repeats, threads=threads)
    module = copy.deepcopy(net.module).cpu().eval()
    counted, missing = macs_ptflops(module, channels, image_size)
    return {
        **found,
        "threads": threads,
        "macs_ptflops": counted,
        "macs_ptflops_missing": missing,
    }


def costs(
    net: Net,
    names: Sequence[str],
    *,
    channels: int,
    image_size: int,
    repeats: int = 30,
    threads: int = 1,
) -> dict[str, Any]:
    """Return only some costs of a model, each as ``cost`` defines it.

    Args:
        net: The model, on any device and in any mode.
        names: Of ``parameters``, ``macs``, ``latency_ms`` and ``file_mb``.
        channels: Image channels.
        image_size: Height and width, pixels.
        repeats: Timed forward passes; the median is reported.
        threads: CPU threads of those passes.
    """
    module = copy.deepcopy(net.module).cpu().eval()
    numbers = torch.Generator().manual_seed(0)
    image = torch.randn(1, channels, image_size, image_size, generator=numbers)
    ways: dict[str, Callable[[], float]] = {
        "parameters": lambda: sum(weight.numel() for weight in module.parameters()),
        "macs": lambda: macs(module, image),
        "latency_ms": lambda: _latency_ms(module, image, repeats, threads),
        "file_mb": lambda: _file_mb(module),
    }
    return {name: ways[name]() for name in names}


def macs(module: nn.Module, image: Tensor) -> int:
    """Return the multiply-accumulates of ``image`` ``[1, c, H, W]``; also on the meta device."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(image)
    return int(counter.get_total_flops()) // 2


def macs_ptflops(module: nn.Module, channels: int, image_size: int) -> tuple[int | None, str]:
    """Return the multiply-accumulates as ptflops counts them, and why not where it cannot.

    The count of the HDKD paper (library ptflops, backend ``pytorch``): it adds normalisation,
    activations and pooling to ``macs``, and misses fused attention and products written ``@``.

    Args:
        module: The network on the CPU (on the meta device the count is wrong); put in eval mode.
        channels: Image channels.
        image_size: Height and width, pixels.
    """
    import ptflops  # imports timm, which takes seconds

    shape = (channels, image_size, image_size)
    quiet = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
    said = io.StringIO()
    with torch.no_grad(), redirect_stdout(said), redirect_stderr(said):
        counted, _ = ptflops.get_model_complexity_info(module, shape, backend="pytorch", **quiet)
    if counted is None:
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
        return None, f"ptflops cannot count it: {lines[-1] if lines else 'it gives no reason'}"
    return int(counted), ""


def _latency_ms(module: nn.Module, image: Tensor, repeats: int, threads: int) -> float:
    with torch.inference_mode(), _threads(threads):
        for _ in range(_WARM_UP):
            module(image)
        return 1000 * statistics.median(_seconds(module, image) for _ in range(repeats))


def _seconds(module: nn.Module, image: Tensor) -> float:
    start = time.perf_counter()
    module(image)
    return time.perf_counter() - start


@contextmanager
def _threads(num: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _file_mb(module: nn.Module) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_model(module, str(file))
        return file.stat().st_size / 1e6
