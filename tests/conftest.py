"""Shared by the whole suite: one Ray cluster, the real images, a tiny job."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Before any import of Ray or torch: what `make` sets too.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
for _key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ.setdefault(_key, "test")  # the nodes of the cluster take theirs from here
os.environ["COLUMNS"] = "160"  # of tables, whatever terminal there is
if "PYTEST_XDIST_WORKER" in os.environ:  # processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


class Groups(LoadScopeScheduling):  # type: ignore[misc] - pytest-xdist has no types
    """Shares the suite between processes (``-n``): files stay whole, the Ray cluster is one's."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "cluster" if _needs_cluster(ROOT / file) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Return what shares the suite."""
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what needs the Ray cluster: it takes longest."""
    items.sort(key=lambda item: not _needs_cluster(item.path))


@functools.cache
def _needs_cluster(file: Path) -> bool:
    return "cluster: str" in file.read_text()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Start the suite's one Ray cluster and give its address; other processes join it by that."""
    from kdray.run.environment import prepare_environment

    prepare_environment()

    import ray

    from kdray.run.session import start

    start("local", num_cpus=2)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Return the folder of real medical images, or skip where it is absent."""
    folder = Path(os.environ.get("KDRAY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real images are not here: set KDRAY_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start the suite's one S3 server, a process of its own, and give its host and port.

    ``KDRAY_TEST_S3=host:port`` names another one instead, with the keys ``test`` and ``test``.
    """
    if given := os.environ.get("KDRAY_TEST_S3"):
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = ROOT / "tests" / "store" / "s3_server.py"
    server = subprocess.Popen([sys.executable, str(script), str(port)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def s3(s3_server: str) -> str:
    """Return the URI of a folder in a new bucket of the S3 server."""
    return new_bucket(s3_server)


def new_bucket(s3_server: str) -> str:
    """Make a bucket on the S3 server, and return the URI of a folder in it."""
    import boto3

    uri = f"http://{s3_server}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.session.Session().client("s3", "us-east-1", endpoint_url=uri, **keys)
    bucket = f"lab-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    settings = f"endpoint_override={s3_server}&scheme=http&region=us-east-1"
    return f"s3://{bucket}/lab?{settings}&access_key=test&secret_key=test"


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the S3 server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the S3 server does not start")
