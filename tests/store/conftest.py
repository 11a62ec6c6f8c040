"""A store of each kind."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdray.store import Store
from tests.store.faults import Proxy


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


@pytest.fixture
def proxy(s3_server: str) -> Iterator[Proxy]:
    """Start a proxy before the S3 server, which can be told to fail."""
    found = Proxy(s3_server)
    yield found
    found.close()


@pytest.fixture
def faulty(proxy: Proxy, s3: str, tmp_path: Path) -> Store:
    """Return a store on the S3 server, behind the proxy."""
    return Store(proxy.before(s3), cache=str(tmp_path / "behind"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits between tries, seconds, which take no time."""
    found: list[float] = []
    ours = types.SimpleNamespace(sleep=found.append, monotonic=lambda: 1 + sum(found))
    monkeypatch.setattr("kdray.store._retry.time", ours)
    monkeypatch.setattr("botocore.endpoint.time", types.SimpleNamespace(sleep=lambda _: None))
    return found
