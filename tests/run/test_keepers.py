"""Recording on a real cluster: processes that stay, and what happens when one dies."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError

from kdray.errors import RunError
from kdray.run.job import plan_job, run_job
from kdray.run.journal import Journal
from kdray.run.keepers import RayKeepers, _Crew, keepers_of
from kdray.run.record import run_records
from kdray.run.shares import Share
from kdray.run.tell import Teller
from kdray.spec import Experiment
from kdray.spec.experiment import Resources
from kdray.store import Store

pytestmark = pytest.mark.ray


def test_a_process_performs_many_calls_and_another_one_those_of_a_dead_one(
    cluster: str, tmp_path: Path
) -> None:
    died = tmp_path / "died"

    def call(number: int) -> tuple[int, int]:
        if number == 2 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number, os.getpid()

    def failing(number: int) -> None:
        raise RunError("call", f"{number} cannot be done.")

    with RayKeepers(Share(1, 0), 1) as keepers:
        found = dict(keepers.each(call, [(number,) for number in range(6)]))
        assert [found[index][0] for index in range(6)] == list(range(6))
        assert len({pid for _, pid in found.values()}) == 2
        with pytest.raises(RunError, match="0 cannot be done"):
            keepers.one(failing, 0)
        assert keepers.one(call, 3) == (3, found[5][1])  # the same process as before


def test_a_process_killed_for_memory_has_died_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(reference: object) -> None:
        raise OutOfMemoryError(
            "1 worker(s) were killed due to the node running low on memory. Memory on the node "
            "(IP: 10.0.0.7) was 7.60GB used / 8.00GB limit (0.95)\n" + "a page of figures\n" * 40
        )

    monkeypatch.setattr("kdray.run.keepers.ray.get", killed)
    crew = _Crew(Share(1, 0), tries=1)
    for keeper in ("one", "another"):
        crew._hired.append(keeper)
        crew.idle.append(keeper)
    assert crew.has_died(3, "its answer")
    assert (crew.size, len(crew.idle)) == (1, 1)
    said = "a process died 2 times: its node ran out of memory (7.60GB of 8.00GB used)"
    with pytest.raises(RunError, match=re.escape(said)) as caught:
        crew.has_died(3, "its answer")
    assert "a page of figures" not in str(caught.value)


def test_keepers_share_a_node_by_quarters_of_at_least_a_cpu(cluster: str) -> None:
    keepers = keepers_of(Resources())
    assert (keepers.threads, keepers._count, keepers._first) == (1, 2, 2)
    assert keepers_of(Resources(cpus_per_worker=2))._count == 1


def test_records_of_the_cluster_are_those_of_this_process(
    cluster: str, tmp_path: Path, tiny_job: dict[str, Any]
) -> None:
    made = Experiment.model_validate(tiny_job)
    run_job(made, "", here=True)
    plan, here = plan_job(made), Store(made.storage.uri)
    there = Store(str(tmp_path / "there"))
    for step in (plan.prepare, plan.pretrain["big"]):
        shutil.copytree(here.path(step.path), there.path(step.path))
    with Journal(there, "job") as journal:
        events: list[dict[str, Any]] = []
        teller = Teller(journal, plan.steps())
        with keepers_of(Resources()) as keepers:
            run_records(plan, there, keepers, teller)
        events = journal.events()
    facts = there.finished(plan.record["big"].path)
    for column in facts["columns"].values():
        folder = f"{facts['folder']}/{column['slug']}"
        names = here.list(folder)
        assert there.list(folder) == names
        for name in names:
            assert there.read(f"{folder}/{name}") == here.read(f"{folder}/{name}")
    told = [event for event in events if event["kind"] == "progress"]
    assert told[-1]["done"] == told[-1]["total"] == facts["views"] * facts["images"]
    assert told[-1]["seconds_left"] == 0
