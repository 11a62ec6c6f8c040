"""Ray Train for real: runs share a worker group, and a killed worker loses one epoch at most."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdray.errors import RunError
from kdray.run.fits import run_fits
from kdray.run.relay import relay
from kdray.run.shares import Share
from kdray.spec.experiment import Train
from tests.run.fitting import Killer, assignment, prepared

pytestmark = pytest.mark.ray


def test_two_workers_share_runs_survive_a_death_and_say_why_a_run_cannot_go_on(
    cluster: str, tmp_path: Path
) -> None:
    store = prepared(tmp_path)
    shared = assignment("shared", Train(epochs=80))
    broken = assignment("broken", Train(epochs=2, learning_rate=1e30, optimizer="sgd"))
    killer = Killer("shared")
    with relay(killer) as post, pytest.raises(RunError, match=r"broken: .*not finite"):
        run_fits([shared, broken], store, post, Share(1, 0), 2, 2)
    assert killer.has_killed
    assert killer.starts == ["shared", "shared", "broken"]
    epochs = [epoch["epoch"] for epoch in store.finished("steps/pretrain/shared")["history"]]
    assert epochs == list(range(1, 81))
    assert store.result("steps/pretrain/broken") is None
