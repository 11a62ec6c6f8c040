"""``kdray dashboard``, without the library that draws it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdray.run.journal import Journal
from kdray.store import Store

Kdray = Callable[..., Any]


@pytest.fixture
def lab(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "lab"))
    with Journal(store, "tiny"):
        pass
    return store


def test_a_job_without_a_search_says_so(kdray: Kdray, lab: Store) -> None:
    answer = kdray("dashboard", "tiny", "--storage", "lab")
    assert answer.code == 2
    assert "tiny has no search, or it has not begun" in answer.err.replace("\n", " ")


def test_without_the_library_it_says_how_to_install_it(
    kdray: Kdray, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write("jobs/tiny/study.journal", b"")
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    answer = kdray("dashboard", "tiny", "--storage", "lab")
    assert answer.code == 2
    assert "pip install 'kdray[dashboard]'" in answer.err.replace("\n", " ")


def test_it_listens_on_this_machine_alone(
    kdray: Kdray, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    served = SimpleNamespace(run_server=lambda storage, **where: asked.update(where))
    lab.write("jobs/tiny/study.journal", b"")
    monkeypatch.setitem(sys.modules, "optuna_dashboard", served)
    assert kdray("dashboard", "tiny", "--storage", "lab", "--port", "9000").code == 0
    assert asked == {"host": "127.0.0.1", "port": 9000}
