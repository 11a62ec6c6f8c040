"""Ray clusters of several nodes on this machine, each in processes of its own."""

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

#: Seconds until a node answers, at most.
PATIENCE_S = 120.0
#: Hexadecimal id of the head: the provider has to know it before Ray gives one.
_HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
_PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
#: Bytes of each node's shared memory; Ray wants 75 MiB at least.
_MEMORY = 80 * 2**20
#: What the autoscaler's fake nodes need of the head's environment.
_AUTOSCALER = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": _HEAD,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD,
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}
_EMPTY = (
    "cluster_synced_files",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


class Processes:
    """Processes that were started with a mark in their environment, and all that they start.

    Args:
        name: The variable.
        value: Its value, of these processes alone.
    """

    def __init__(self, name: str, value: str) -> None:
        self.marks = {name: value}
        self._mark = f"{name}={value}\0".encode()

    def __contains__(self, pid: int) -> bool:
        return self._mark in _environment(pid)

    def pids(self) -> list[int]:
        """Return those that run."""
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in found if pid != os.getpid() and pid in self]

    def kill(self) -> None:
        """Kill each of them, and none else, with no chance to say anything."""
        while pids := self.pids():
            for pid in pids:
                _kill(pid)
            time.sleep(0.05)


class Cluster:
    """A cluster whose nodes are processes of this machine.

    Args:
        folder: Ray's temporary folder, of this cluster alone: by it its processes are known.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        self.address = f"{get_node_ip_address()}:{self._port}"
        self._all = Processes("RAY_TMPDIR", str(folder))
        self._started: list[subprocess.Popen[bytes]] = []

    def start_head(self, cpus: int, *options: str, **environment: str) -> None:
        """Start the head and wait until it answers."""
        self._start(cpus, ["--head", f"--port={self._port}", *options], environment)

    def start_node(self, cpus: int) -> Processes:
        """Start a further node, wait until it answers, and return its processes."""
        node = Processes("KDRAY_TEST_NODE", str(len(self._started)))
        self._start(cpus, [f"--address={self.address}"], node.marks)
        return node

    def num_nodes(self) -> int:
        """Return how many nodes run, the head among them."""
        return sum(_name(pid) == "raylet" for pid in self._all.pids())

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
        self._all.kill()
        for process in self._started:
            process.wait()

    def _start(self, cpus: int, options: list[str], environment: dict[str, str]) -> None:
        path = self.folder / f"node{len(self._started)}.log"
        common = ["--block", f"--num-cpus={cpus}", f"--object-store-memory={_MEMORY}"]
        dashboard = any(option.startswith("--dashboard-port") for option in options)
        quiet = ["--disable-usage-stats", f"--include-dashboard={str(dashboard).lower()}"]
        with path.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *common, *options]
                + (quiet if "--head" in options else []),
                env={**os.environ, "RAY_TMPDIR": str(self.folder), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        deadline = time.monotonic() + PATIENCE_S
        while "Ray runtime started" not in path.read_text():
            assert process.poll() is None, path.read_text()
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.1)  # between two looks at a file


@contextmanager
def fixed(head_cpus: int) -> Iterator[Cluster]:
    """Start a cluster of a head, to which nodes can be added by hand."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start_head(head_cpus)
            yield cluster
        finally:
            cluster.end()


@contextmanager
def growing(head_cpus: int, node_cpus: int, num_nodes: int) -> Iterator[Cluster]:
    """Start a cluster that may grow, by Ray's autoscaler, from its head to so many further nodes.

    Args:
        head_cpus: CPUs of the head.
        node_cpus: CPUs of each node that is added.
        num_nodes: Nodes that may be added.
    """
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        config = cluster.folder / "autoscaling.json"
        config.write_text(json.dumps(_config(cluster.address, head_cpus, node_cpus, num_nodes)))
        try:
            cluster.start_head(head_cpus, f"--autoscaling-config={config}", **_AUTOSCALER)
            yield cluster
        finally:
            cluster.end()


def _config(address: str, head_cpus: int, node_cpus: int, num_nodes: int) -> dict[str, object]:
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
                "resources": {"CPU": node_cpus, "object_store_memory": _MEMORY},
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


def free_port() -> int:
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
