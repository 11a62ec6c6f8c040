"""A version of the registry to a loaded model: by ONNX Runtime or PyTorch, and warmed up."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kdray.confidence import Confidence
from kdray.engine import Engine
from kdray.errors import KdrayError, ModelError
from kdray.images import Pixels
from kdray.registry import Package, Registry, read_package
from kdray.registry.serving import read_serving
from kdray_serve.meter import Meter, Silent
from kdray_serve.work import Key

Runtime = Literal["auto", "onnxruntime", "torch"]
#: A model by its version and by what computes it.
Asked = tuple[str, int, Runtime]
#: Images of the batch by which two runtimes are compared, and how often it is looked at.
_BATCH, _REPEATS = 8, 5


@dataclass(frozen=True)
class Model:
    """A loaded version.

    Args:
        key: Its name and version.
        package: What it is.
        engine: What answers.
        confidence: How far to trust its answers; None where the package cannot tell.
        needs_torch: Whether the explanation that was to be warmed up needs another engine.
    """

    key: Key
    package: Package
    engine: Engine
    confidence: Confidence | None
    needs_torch: bool = False

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return self.engine.bytes


class Engines:
    """Loads versions of a registry; slow, and any number of threads may.

    Args:
        registry: URI of the registry.
        runtime: What computes where a request leaves it open.
        may_use_torch: Whether PyTorch may be imported.
        threads: Threads that one forward pass may take.
        explanation: Name and settings of the explanation that is warmed up too; None: none.
        meter: Is told what was loaded.
    """

    def __init__(
        self,
        registry: str,
        runtime: Runtime = "auto",
        *,
        may_use_torch: bool = True,
        threads: int = 1,
        explanation: tuple[str, Mapping[str, Any]] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._registry = registry
        self._runtime = runtime
        self.may_use_torch = may_use_torch
        self._threads = threads
        self._explanation = explanation
        self._meter = meter or Silent()

    def load(self, asked: Asked) -> Model:
        """Return a version, loaded and warmed up.

        Raises:
            RegistryError: The package is missing or damaged.
            ModelError: It needs PyTorch, which may not be used, or cannot be computed here.
        """
        try:
            return self._loaded(*asked)
        except KdrayError:
            raise
        except Exception as error:  # ONNX Runtime's have no base class but this
            problem = f"cannot be loaded: {type(error).__name__}: {error}."
            raise ModelError(f"{asked[0]}@{asked[1]}", problem) from error

    def _loaded(self, name: str, version: int, runtime: Runtime) -> Model:
        started = time.perf_counter()
        folder = Registry(self._registry).fetch(name, version)
        package = read_package(folder)
        engine = self._engine(package, self._runtime if runtime == "auto" else runtime)
        needs_torch = not self._warm_up(engine, package) and runtime == "auto"
        self._meter.loaded((name, version), engine.runtime, time.perf_counter() - started)
        return Model((name, version), package, engine, read_confidence(folder), needs_torch)

    def _engine(self, package: Package, runtime: Runtime) -> Engine:
        folder = package.folder
        if runtime == "torch":
            return self._torch(folder)
        if runtime == "onnxruntime":
            return self._onnx(folder)
        if not has_serving_files(folder):
            return self._torch(folder)
        if not (self.may_use_torch and gpu_is_visible()):
            return self._onnx(folder)
        return min(
            (self._onnx(folder), self._torch(folder)), key=lambda engine: _seconds(engine, package)
        )

    def _torch(self, folder: Path) -> Engine:
        if not self.may_use_torch:
            problem = "this package needs PyTorch, which is not used here."
            remedy = "Promote it again with this version of kdray, or serve it without --edge."
            raise ModelError(str(folder), problem, remedy)
        import torch

        from kdray.infer import Predictor

        has_gpu = gpu_is_visible() and torch.cuda.is_available()  # PyTorch may be one without
        return Predictor(folder, "cuda" if has_gpu else "cpu")

    def _onnx(self, folder: Path) -> Engine:
        from kdray.edge.model import EdgeModel  # imports ONNX Runtime

        return EdgeModel(folder, threads=self._threads)

    def _warm_up(self, engine: Engine, package: Package) -> bool:
        """Answer once, so that the first request does not pay for imports and buffers.

        Returns:
            Whether the engine can make the explanation that is to be warmed up.
        """
        engine.look(_noise(package, 1))
        if self._explanation is None:
            return True
        method, params = self._explanation
        try:
            engine.explain(_noise(package, 1), method, params)
        except ModelError:
            return False
        return True


def has_serving_files(folder: Path) -> bool:
    """Return whether a package can answer without PyTorch."""
    return (folder / "serving.json").is_file()


def read_confidence(folder: Path) -> Confidence | None:
    """Return how far to trust a package's answers; None where it cannot tell.

    Raises:
        RegistryError: Its files are damaged.
    """
    if not has_serving_files(folder):
        return None
    serving = read_serving(folder)
    return serving.read_confidence()


def gpu_is_visible() -> bool:
    """Return whether this process may use an NVIDIA GPU; imports nothing."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None and allowed.strip() in ("", "-1", "NoDevFiles"):
        return False
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def _seconds(engine: Engine, package: Package) -> float:
    """Return the time of one batch: the best of some, after one that does not count."""
    images = _noise(package, _BATCH)
    engine.look(images)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        engine.look(images)
        times.append(time.perf_counter() - started)
    return min(times)


def _noise(package: Package, count: int) -> Pixels:
    shape = (count, package.image_size, package.image_size, package.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
