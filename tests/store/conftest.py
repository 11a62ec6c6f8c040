"""A store of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdray.store import Store


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "lab"))


@pytest.fixture
def remote(s3: str, tmp_path: Path) -> Store:
    return Store(s3, cache=str(tmp_path / "cache"))


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest) -> Store:
    """Return a store in a folder, and one on a real S3 server."""
    found: Store = request.getfixturevalue(request.param)
    return found
