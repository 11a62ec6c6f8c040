"""Services for real: processes that serve two versions of a small model."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from kdray.export import write_serving
from kdray.models import build_model
from kdray.registry import Registry, write_package
from kdray.spec.service import Service

CLASSES = ("glioma", "meningioma", "no tumor", "pituitary")
SIDE = 32
WIDTHS = {"widths": [4, 8, 8, 12, 16]}
#: Starting Ray and Ray Serve takes a minute on a busy machine of 2 cores.
START_SECONDS = 240
STOP_SECONDS = 90


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The key that the service printed."""
        [key] = re.findall(r"#key=(\S+)", "".join(self.lines))
        return str(key)

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, timeout=90, headers=headers)

    def post(self, verb: str, image: bytes, model: str = "brain", **fields: str) -> httpx.Response:
        with self.client() as client:
            files = {"image": ("scan.png", image)}
            return client.post(f"/v1/models/{model}/{verb}", files=files, data=fields)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_SECONDS)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of `brain` 1 and 2; 1 is the champion."""
    root = tmp_path_factory.mktemp("running")
    registry = Registry(str(root / "registry"))
    dice = np.random.default_rng(0)
    images = dice.integers(0, 256, (40, SIDE, SIDE, 1), np.uint8)
    info = SimpleNamespace(classes=CLASSES, image_size=SIDE, channels=1, mean=(0.4,), std=(0.3,))
    model = {"name": "cnn5", "params": WIDTHS}
    for seed in (1, 2):
        folder = root / f"package-{seed}"
        folder.mkdir()
        net = build_model("cnn5", WIDTHS, channels=1, classes=4, image_size=SIDE, seed=seed)
        write_package(folder, net, model=model, id="cnn5", role="student", info=info, lineage={})
        labels = np.arange(24) % 4
        assert not write_serving(folder, train=images[:16], validation=images[16:], labels=labels)
        registry.add("brain", folder, key=str(seed))
    registry.promote("brain", 1)
    return root / "registry"


@pytest.fixture
def bare_package(tmp_path: Path) -> Path:
    """Return a package that only PyTorch can compute."""
    folder = tmp_path / "bare"
    folder.mkdir()
    net = build_model("cnn5", WIDTHS, channels=1, classes=4, image_size=SIDE)
    info = SimpleNamespace(classes=CLASSES, image_size=SIDE, channels=1, mean=(0.4,), std=(0.3,))
    model = {"name": "cnn5", "params": WIDTHS}
    write_package(folder, net, model=model, id="cnn5", role="student", info=info, lineage={})
    return folder


@pytest.fixture(scope="session")
def spec_of(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes the spec of a service with a registry of its own."""

    def write(**fields: Any) -> Path:
        root = tmp_path_factory.mktemp("service")
        shutil.copytree(kept, root / "registry")
        spec = {
            "apiVersion": "kdray/v1",
            "kind": "Service",
            "name": "test",
            "registry": str(root / "registry"),
            "storage": str(root / "runs"),
            "models": ["brain"],
            "port": free_port(),
            "explain": ["gradcam", "featuremaps", "scorecam"],
            "refresh_seconds": 0,
            "limits": {"max_upload_mb": 1},
            **fields,
        }
        (root / "service.json").write_text(Service.model_validate(spec).model_dump_json())
        return root / "service.json"

    return write


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Server]]:
    """Return a function that starts a service of a spec and waits until it is ready."""
    running: list[Server] = []

    def started(spec: Path, *flags: str) -> Server:
        service = Service.model_validate_json(spec.read_bytes())
        server = Server(launched(spec, *flags), f"http://127.0.0.1:{service.port}")
        running.append(server)
        wait_until_ready(server)
        return server

    yield started
    for server in running:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def launch() -> Callable[..., subprocess.Popen[str]]:
    """Return the function that starts the process of a service."""
    return launched


def launched(spec: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kdray_serve", "--config", str(spec), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_until_ready(server: Server) -> None:
    """Read the output until the service says where its page is, and go on reading."""
    ready = threading.Event()

    def read() -> None:
        assert server.process.stdout is not None
        for line in server.process.stdout:
            server.lines.append(line)
            if "#key=" in line:
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    assert ready.wait(START_SECONDS), "".join(server.lines)
    assert any("#key=" in line for line in server.lines), "".join(server.lines)


@pytest.fixture(scope="session")
def edge(start: Callable[..., Server], spec_of: Callable[..., Path]) -> Server:
    """Return a service of one process."""
    return start(spec_of(), "--edge")


@pytest.fixture(scope="session")
def scan() -> bytes:
    """Return a PNG file."""
    import io

    from PIL import Image

    y, x = np.mgrid[:60, :48] / np.array([60, 48])[:, None, None]
    disc = 90 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.16)
    spot = 130 * np.exp(-((x - 0.62) ** 2 + (y - 0.4) ** 2) / 0.006)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(disc + spot, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
