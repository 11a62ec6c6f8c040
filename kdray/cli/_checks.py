"""What ``kdray doctor`` looks at, one function a fact."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from kdray.errors import KdrayError
from kdray.launch.finding import Check
from kdray.store import Store

#: What is imported -> the distribution it comes from.
LIBRARIES = {
    "pydantic": "pydantic",
    "pyarrow": "pyarrow",
    "boto3": "boto3",
    "torch": "torch",
    "torchvision": "torchvision",
    "torchmetrics": "torchmetrics",
    "timm": "timm",
    "pytorch_grad_cam": "grad-cam",
    "safetensors": "safetensors",
    "optuna": "optuna",
    "ray": "ray",
    "matplotlib": "matplotlib",
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
}
GIB = 2**30
PORT = 8000


def checks(storage: str, *, libraries: bool, ray: bool) -> Iterator[Check]:
    """Yield the findings, each as soon as it is known.

    Args:
        storage: URI of the storage that shall be written.
        libraries: Import the libraries, rather than only look for them.
        ray: Start Ray.
    """
    yield _python()
    yield _memory(Path("/proc/meminfo"))
    yield _shared_memory(Path("/dev/shm"))
    yield _disk(storage)
    yield storage_check(storage)
    yield _port(PORT)
    yield _authentication()
    yield _allocator()
    yield _browser()
    for module, distribution in LIBRARIES.items():
        yield _library(module, distribution, importing=libraries)
    if libraries:
        yield _torch()
    if ray:
        yield _ray()


def storage_check(uri: str) -> Check:
    """Return whether a storage can be written from here; nothing is left there."""
    probe = f".doctor-{uuid.uuid4().hex[:8]}"
    was_there = "://" in uri or Path(uri).exists()
    try:
        store = Store(uri)
        store.write(probe, b"kdray")
        read = store.read(probe)
        store.delete(probe)
        decides = store.decides(probe)
        store.delete(probe)
    except (KdrayError, OSError) as error:
        remedy = "Name another with --storage, or check its rights and credentials."
        return Check("storage", "fail", str(error), remedy)
    if not was_there:
        Path(uri).rmdir()
    if read != b"kdray":
        return Check(
            "storage", "fail", f"{store.called()} does not give back what was written to it."
        )
    if not decides:
        problem = "its server ignores If-None-Match: two writers at once overwrite each other"
        remedy = "Use a server that knows conditional writes, or a shared folder."
        return Check("storage", "warn", f"{store.called()}: {problem}", remedy)
    return Check("storage", "ok", f"{store.called()} can be written")


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    wanted = importlib.metadata.metadata("kdray")["Requires-Python"]
    return Check("python", "ok", f"{version} (kdray needs {wanted}), {sys.executable}")


def _memory(meminfo: Path) -> Check:
    if not meminfo.exists():
        return Check("memory", "note", "not known on this system")
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024 / GIB
    fact = f"{free:.1f} GiB free, {os.cpu_count()} CPUs"
    if free < 2:
        return Check("memory", "warn", fact, "Ray and one training need some 2 GiB: close others.")
    return Check("memory", "ok", fact)


def _shared_memory(folder: Path) -> Check:
    if not folder.exists():
        return Check("shared memory", "note", f"no {folder}: Ray uses files in /tmp")
    free = shutil.disk_usage(folder).free / GIB
    if free < 1:
        remedy = "In a container: --shm-size=2g, or a memory volume at /dev/shm in Kubernetes."
        return Check("shared memory", "warn", f"{folder} has {free:.2f} GiB free", remedy)
    return Check("shared memory", "ok", f"{folder} has {free:.1f} GiB free")


def _disk(storage: str) -> Check:
    place = Path("." if "://" in storage else storage).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / GIB
    if free < 2:
        return Check("disk", "warn", f"{free:.1f} GiB free at {place}", "Free some space there.")
    return Check("disk", "ok", f"{free:.0f} GiB free at {place}")


def _port(port: int) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            remedy = "`kdray serve` needs another `port` in the Service's job file."
            return Check("port", "warn", f"{port} is in use", remedy)
    return Check("port", "ok", f"{port} is free for `kdray serve`")


def _authentication() -> Check:
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is None:
        return Check("RAY_AUTH_MODE", "ok", "not set: local sessions use `disabled`")
    if mode not in ("disabled", "token"):
        remedy = "Ray knows `disabled` and `token`."
        return Check("RAY_AUTH_MODE", "fail", repr(mode), remedy)
    return Check("RAY_AUTH_MODE", "ok", mode)


def _allocator() -> Check:
    names = ("LD_PRELOAD", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")
    given = [name for name in names if name in os.environ]
    if given:
        return Check("malloc", "ok", f"your {', '.join(given)} are kept")
    if platform.libc_ver()[0] == "glibc":
        return Check("malloc", "ok", "glibc; `kdray run` lets its workers keep freed memory")
    fact = "not glibc: training steps on a CPU may be slower than published"
    return Check("malloc", "note", fact)


def _browser() -> Check:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found:
        return Check("browser", "ok", found)
    return Check("browser", "note", "no chromium: only the browser tests need it")


def _library(module: str, distribution: str, *, importing: bool) -> Check:
    remedy = "Install kdray again: `make setup`, or `pip install .`."
    try:
        version = importlib.metadata.version(distribution)
        begun = time.perf_counter()
        if importing:
            importlib.import_module(module)
    except Exception as error:  # an import may fail in any way, and all of them are findings
        return Check(distribution, "fail", f"{type(error).__name__}: {error}", remedy)
    took = f", imported in {time.perf_counter() - begun:.1f} s" if importing else ""
    return Check(distribution, "ok", f"{version}{took}")


def _torch() -> Check:
    import torch  # seconds: only once `_library` has looked at it

    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} CPUs"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("compute", "ok", f"{', '.join(names)}; {threads}")
    if shutil.which("nvidia-smi"):
        fact = f"there is an NVIDIA driver, but torch {torch.__version__} cannot use it; {threads}"
        return Check("compute", "warn", fact, "Install the torch build of the driver's CUDA.")
    return Check("compute", "ok", f"no GPU; {threads}")


def _ray() -> Check:
    remedy = "On a busy machine Ray gives up after 30 s: close what runs and try again."
    command = [sys.executable, "-m", "kdray.launch.probe"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return Check("ray start", "fail", "Ray did not start within 120 s", remedy)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Check("ray start", "fail", last, remedy)
    return Check("ray start", "ok", done.stdout.strip().splitlines()[-1])
