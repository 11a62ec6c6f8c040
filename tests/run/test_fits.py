"""Ray Train for real: runs share a worker group, and a killed worker loses one epoch at most."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdray.errors import RunError
from kdray.learn import World
from kdray.run import training
from kdray.run.fits import run_fits
from kdray.run.prepare import prepare_into
from kdray.run.relay import relay
from kdray.run.session import Share
from kdray.run.training import Assignment
from kdray.spec.experiment import Data, Model, Train
from kdray.store import Store

pytestmark = pytest.mark.ray
DATA = {
    "source": {"name": "phantom", "params": {"num_images": 120}},
    "image_size": 32,
    "channels": 1,
}
MODEL = {"id": "cnn", "model": {"name": "cnn5", "params": {"widths": [4, 4, 8, 8, 8]}}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "runs"))
    data = Data.model_validate(DATA)
    prepare_into(data, made.uri, "steps/prepare/data", "prepare", lambda event: None)
    return made


def assignment(name: str, train: Train) -> Assignment:
    return Assignment(
        path=f"steps/pretrain/{name}",
        key=name,
        label=name,
        step=f"pretrain/{name}",
        dataset="steps/prepare/data",
        role="teacher",
        model=Model.model_validate(MODEL),
        train=train,
        augment=Data.model_validate(DATA).augment,
        select="macro_f1",
        seed=0,
        method=None,
        view_seed=0,
        num_views=None,
        teachers=(),
        lineage={},
    )


def in_this_process(work: Assignment, store: Store) -> dict[str, torch.Tensor]:
    """Return the weights that the same run gives without Ray, without a disturbance."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _, fitted = training.run(work, store, World(), lambda event: None)
    finally:
        torch.set_num_threads(threads)
    store.delete(f"work/{work.key}")
    return dict(fitted.state)


def test_a_worker_killed_in_an_epoch_is_replaced_and_the_weights_are_those_of_an_undisturbed_run(
    cluster: str, store: Store
) -> None:
    first = assignment("first", Train(epochs=2))
    second = assignment("second", Train(epochs=150))
    expected = in_this_process(second, store)
    events: list[dict[str, Any]] = []

    def tell(event: dict[str, Any]) -> None:
        if event["kind"] == "epoch" and event["run"] == "second" and not killed(events):
            os.kill(event["pid"], signal.SIGKILL)
            events.append({"kind": "killed", "pid": event["pid"], "epoch": event["epoch"]})
        events.append(event)

    with relay(tell) as post:
        run_fits([first, second], store, post, Share(1, 0), 1, 2)
    starts = [event["run"] for event in events if event["kind"] == "run_started"]
    assert starts == ["first", "second", "second"]  # the finished run is not repeated
    assert killed(events)
    weights = load_file(store.fetch("steps/pretrain/second") / "model.safetensors")
    assert set(weights) <= set(expected)
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    epochs = [epoch["epoch"] for epoch in store.finished("steps/pretrain/second")["history"]]
    assert epochs == list(range(1, 151))
    assert store.list("work") == []


def killed(events: list[dict[str, Any]]) -> bool:
    return any(event["kind"] == "killed" for event in events)


def test_two_workers_share_a_run_and_a_run_that_cannot_go_on_says_why(
    cluster: str, store: Store
) -> None:
    shared = assignment("shared", Train(epochs=2))
    broken = assignment("broken", Train(epochs=2, learning_rate=1e30, optimizer="sgd"))
    with relay(lambda event: None) as post, pytest.raises(RunError, match="not finite"):
        run_fits([shared, broken], store, post, Share(1, 0), 2, 2)
    assert store.finished("steps/pretrain/shared")["best_epoch"] in (1, 2)
    assert store.result("steps/pretrain/broken") is None
