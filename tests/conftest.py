"""Shared by the whole suite: one Ray cluster, the real images, a tiny job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any import of Ray or torch: what `make` sets too.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

ROOT = Path(__file__).resolve().parent.parent


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
