from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import ray

from kdray.run.relay import _pump


def pump() -> None:
    """Fetch events where Ray's worker has lost its parts."""

    def remote() -> None:
        raise AttributeError("'Worker' object has no attribute 'core_worker'")

    _pump(SimpleNamespace(take=SimpleNamespace(remote=remote)), print, threading.Event(), 0.0)


def test_a_session_that_ends_meanwhile_is_no_error() -> None:
    assert not ray.is_initialized()
    pump()


def test_an_error_in_a_session_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with pytest.raises(AttributeError, match="core_worker"):
        pump()
