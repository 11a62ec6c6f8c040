"""The application before a desk without models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient


@pytest.fixture
def desk(desk_of: Callable[..., Any]) -> Any:
    return desk_of()


@pytest.fixture
def client(client_of: Callable[..., TestClient], desk: Any) -> TestClient:
    return client_of(desk)
