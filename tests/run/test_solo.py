"""Training runs of one process on a real Ray: a killed process loses one epoch at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdray.errors import RunError, StoreError
from kdray.run import solo, training
from kdray.run.relay import relay
from kdray.run.shares import Share
from kdray.run.solo import run_solo
from kdray.run.workers import Here
from kdray.spec.experiment import Resources, Train
from kdray.store import Store
from tests.run.fitting import Killer, assignment, in_this_process, prepared

RESOURCES = Resources(cpus_per_worker=1, max_failures=2)


@pytest.mark.ray
def test_a_process_killed_in_an_epoch_is_replaced_and_the_weights_are_those_of_an_undisturbed_run(
    cluster: str, tmp_path: Path
) -> None:
    store = prepared(tmp_path)
    first = assignment("first", Train(epochs=2))
    second = assignment("second", Train(epochs=150))
    expected = in_this_process(second, store)
    killer = Killer("second")
    with relay(killer) as post:
        run_solo([first, second], store, post, RESOURCES)
    assert killer.has_killed
    assert sorted(killer.starts) == ["first", "second", "second"]  # the other is not repeated
    weights = load_file(store.fetch("steps/pretrain/second") / "model.safetensors")
    assert set(weights) <= set(expected)
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    epochs = [epoch["epoch"] for epoch in store.finished("steps/pretrain/second")["history"]]
    assert epochs == list(range(1, 151))
    assert store.list("work") == []


@pytest.mark.ray
def test_a_run_that_cannot_go_on_says_why(cluster: str, tmp_path: Path) -> None:
    store = prepared(tmp_path)
    broken = assignment("broken", Train(epochs=2, learning_rate=1e30, optimizer="sgd"))
    with relay(lambda event: None) as post, pytest.raises(RunError, match=r"broken: .*not finite"):
        run_solo([broken], store, post, RESOURCES)
    assert store.result("steps/pretrain/broken") is None


@pytest.mark.parametrize(
    ("resources", "runs", "expected"),
    [
        (Resources(), 8, (Share(16, 0), 2)),  # a run on each node
        (Resources(cpus_per_worker=4), 8, (Share(4, 0), 8)),
        (Resources(gpus_per_worker=1), 8, (Share(4, 1), 8)),  # a run on each GPU
        (Resources(gpus_per_worker=1), 2, (Share(16, 1), 2)),
    ],
)
def test_as_many_runs_go_on_at_once_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    resources: Resources,
    runs: int,
    expected: tuple[Share, int],
) -> None:
    asked = []

    class Keepers(Here):
        def __init__(self, share: Share, count: int, tries: int) -> None:
            asked.append((share, count))

        def __enter__(self) -> Keepers:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def each(self, function: Any, calls: Any) -> Any:
            assert len(calls) == runs
            return iter(())

    monkeypatch.setattr(solo, "up", lambda: [(16.0, 4.0), (16.0, 4.0)])
    monkeypatch.setattr(solo, "RayKeepers", Keepers)
    work = [assignment(f"net{number}", Train()) for number in range(runs)]
    run_solo(work, Store(str(tmp_path)), print, resources)  # type: ignore[arg-type]
    assert asked == [expected]


def test_a_storage_that_does_not_answer_for_a_while_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries = []

    def fail_once(*_: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StoreError("s3://b", "does not answer.")

    monkeypatch.setattr(training, "run_whole", fail_once)
    work = assignment("net", Train())
    solo._fit(work, Store(str(tmp_path)).uri, print, Share(1, 0), 1)  # type: ignore[arg-type]
    assert len(tries) == 2
    tries.clear()
    with pytest.raises(RunError, match=r"net: s3://b: does not answer\."):
        solo._fit(work, Store(str(tmp_path)).uri, print, Share(1, 0), 0)  # type: ignore[arg-type]
