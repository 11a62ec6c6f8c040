"""A Ray cluster on this machine that grows and shrinks by Ray's own autoscaler."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.util import get_node_ip_address

#: Seconds until the head of a cluster answers, at most.
PATIENCE_S = 120.0
#: Hexadecimal id of the head: the provider has to know it before Ray gives one.
_HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
_PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
_EMPTY = (
    "cluster_synced_files",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


class Growing:
    """A cluster whose nodes are processes of this machine.

    Args:
        address: Where drivers join it.
        folder: Ray's temporary folder, of this cluster alone: by it its processes are known.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder

    def num_nodes(self) -> int:
        """Return how many nodes run, the head among them."""
        return sum(_name(pid) == "raylet" for pid in self._processes())

    def wait_for(self, num_nodes: int, patience_s: float) -> bool:
        """Return whether the cluster has so many nodes before the time is over, seconds."""
        deadline = time.monotonic() + patience_s
        while self.num_nodes() != num_nodes:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)  # between two looks at the processes
        return True

    def end(self) -> None:
        """End every process of the cluster, and none else."""
        while processes := self._processes():
            for pid in processes:
                _kill(pid)
            time.sleep(0.05)

    def _processes(self) -> list[int]:
        mark = f"RAY_TMPDIR={self.folder}\0".encode()
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in found if pid != os.getpid() and mark in _environment(pid)]


@contextmanager
def growing(head_cpus: int, node_cpus: int, num_nodes: int) -> Iterator[Growing]:
    """Start a cluster that may grow from its head to so many further nodes.

    Args:
        head_cpus: CPUs of the head.
        node_cpus: CPUs of each node that is added.
        num_nodes: Nodes that may be added.
    """
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        port = _free_port()
        cluster = Growing(f"{get_node_ip_address()}:{port}", Path(folder))
        config = cluster.folder / "autoscaling.json"
        config.write_text(json.dumps(_config(cluster.address, head_cpus, node_cpus, num_nodes)))
        with (cluster.folder / "head.log").open("w") as log:
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
            head = subprocess.Popen(
                [
                    *command,
                    f"--port={port}",
                    f"--num-cpus={head_cpus}",
                    "--include-dashboard=false",
                    "--disable-usage-stats",
                    f"--object-store-memory={80 * 2**20}",
                    f"--autoscaling-config={config}",
                ],
                env={**os.environ, **_environment_of_head(folder)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for_head(cluster, head)
            yield cluster
        finally:
            cluster.end()
            head.wait()


def _config(address: str, head_cpus: int, node_cpus: int, num_nodes: int) -> dict[str, object]:
    memory = {"object_store_memory": 80 * 2**20}
    return {
        "cluster_name": "growing",
        "max_workers": num_nodes,
        "idle_timeout_minutes": 0.05,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {
                "resources": {"CPU": head_cpus},
                "node_config": {},
                "max_workers": 0,
            },
            "added": {
                "resources": {"CPU": node_cpus, **memory},
                "node_config": {},
                "min_workers": 0,
                "max_workers": num_nodes,
            },
        },
        "provider": {
            # Not type fake_multinode: its example file is missing from Ray's wheel.
            "type": "external",
            "module": _PROVIDER,
            "gcs_address": address,
            "launch_multiple": True,
            "head_node_id": _HEAD,
        },
        "upscaling_speed": 100.0,
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in _EMPTY},  # Ray requires them
    }


def _environment_of_head(folder: str) -> dict[str, str]:
    return {
        "RAY_TMPDIR": folder,
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": _HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }


def _wait_for_head(cluster: Growing, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    log = cluster.folder / "head.log"
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)  # between two looks at a file


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""  # it has ended, or is another user's


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
