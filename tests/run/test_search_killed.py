"""Ray Tune for real: a trial whose worker is killed goes on from its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from kdray.errors import Diverged, StoreError
from kdray.run.relay import relay
from kdray.run.search import _trial, run_search
from kdray.run.shares import Share
from kdray.spec import Experiment
from tests.run.killing import Deadly, in_this_process, quiet, ready, speeds, started, trials

JOB = {
    "apiVersion": "kdray/v1",
    "kind": "Experiment",
    "name": "tiny",
    "data": {
        "source": {"name": "phantom", "params": {"num_images": 60}},
        "image_size": 32,
        "channels": 1,
    },
    "students": [{"id": "small", "model": {"name": "cnn5", "params": {"widths": [4] * 5}}}],
    "methods": ["none"],
    "train": {"student": {"epochs": 4}},
    "search": {
        "sampler": "grid",
        "scheduler": "none",
        "learning_rate": {"choices": [0.001, 0.003, 0.01]},
    },
}


def test_a_trial_survives_as_many_deaths_as_the_job_says(monkeypatch: pytest.MonkeyPatch) -> None:
    tune, board = MagicMock(), MagicMock()
    board.restore.return_value = 1
    monkeypatch.setattr("kdray.run.search.tune", tune)
    run_search(board, MagicMock(), MagicMock(), Share(1, 0), 1, 7)
    tune.FailureConfig.assert_called_once_with(max_failures=7)


def test_a_trial_is_tried_again_where_the_storage_refused_and_not_where_it_failed_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, notes, share = MagicMock(), MagicMock(), Share(1, 0)
    monkeypatch.setattr("kdray.run.search.training.run", run)
    run.side_effect = Diverged("epoch 1", "the loss is not finite.")
    config = {"work": MagicMock(label="small trial 1/3")}
    assert _trial(config, str(tmp_path), notes, share) == {"error": str(run.side_effect)}
    run.side_effect = StoreError("state.pt", "cannot be written.")
    with pytest.raises(StoreError):
        _trial(config, str(tmp_path), notes, share)
    assert "small trial 1/3: state.pt" in notes.call_args.args[0]["text"]


@pytest.mark.ray
def test_a_killed_trial_goes_on_from_its_checkpoint_and_ends_as_an_undisturbed_one(
    cluster: str, tmp_path: Path
) -> None:
    job = Experiment.model_validate({**JOB, "storage": {"uri": str(tmp_path / "runs")}})
    work, store = ready(job)
    events: list[dict[str, Any]] = []
    board = Deadly(work, store, quiet, events, "2/3", 2)
    with relay(events.append) as post:
        run_search(board, store, post, Share(1, 0), 2)
    assert board.killed
    assert len(started(events, "2/3")) == 2
    told = speeds(events, "2/3")
    assert len(told[1]) == 2  # before and after the death
    assert told[1][0] == told[1][1]  # told again, not trained again
    assert trials(store, work.path) == in_this_process(job, tmp_path / "undisturbed")
    assert store.list("work") == []
