"""What becomes of an error in a worker of Ray Train, without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from kdray.errors import RunError, StoreError
from kdray.learn import World
from kdray.run import fits, training
from kdray.run.relay import Relay
from kdray.spec.experiment import Train
from kdray.store import Store
from tests.run.fitting import assignment

WORK = replace(assignment("net", Train()), label="the net")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def fail(monkeypatch: pytest.MonkeyPatch, store: Store, error: Exception) -> bool:
    def run(*_: Any) -> None:
        raise error

    monkeypatch.setattr(training, "run", run)
    return fits._trained(WORK, store, World(), cast(Relay, lambda event: None))


def test_an_error_that_would_come_again_ends_the_run_and_is_told_as_it_was(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    assert not fail(monkeypatch, store, RunError("epoch 1", "is not finite.", "Lower the rate."))
    with pytest.raises(RunError, match=r"^the net: epoch 1: is not finite. Lower the rate.$"):
        fits._raise_told([WORK], store)
    fits._raise_told([WORK], store)  # told once


def test_an_error_that_nobody_foresaw_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    assert not fail(monkeypatch, store, TypeError("no such thing"))
    with pytest.raises(RunError, match=r"the net: TypeError: no such thing\.(.|\n)*test_failures"):
        fits._raise_told([WORK], store)


def test_a_storage_that_does_not_answer_is_left_to_another_try(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    with pytest.raises(StoreError):
        fail(monkeypatch, store, StoreError("s3://b", "does not answer."))
    fits._raise_told([WORK], store)
