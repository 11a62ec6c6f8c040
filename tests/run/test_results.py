"""What results.json says of the search and of recorded knowledge."""

from __future__ import annotations

from typing import Any

import pytest

from kdray.knowledge.names import Column
from kdray.plan import Plan
from kdray.report import knowledge, search_section, search_tables
from kdray.run import record
from kdray.run.board import Board
from kdray.run.job import plan_job
from kdray.run.results import collect
from kdray.run.searching import searching
from kdray.run.survey import Recording
from kdray.run.workers import Here
from kdray.spec import Experiment
from kdray.spec.experiment import Knowledge
from kdray.store import Store


@pytest.fixture
def planned(tiny_job: dict[str, Any]) -> Plan:
    """A job with a search, whose teachers run live."""
    changes = {"search": {"trials": 3, "scheduler": "none"}, "knowledge": {"mode": "live"}}
    return plan_job(Experiment.model_validate({**tiny_job, **changes}))


@pytest.fixture
def store(planned: Plan) -> Store:
    """A storage where all but the search is done."""
    store = Store(planned.job.storage.uri)
    for step in planned.steps():
        if step.kind != "search":
            with store.publish(step.path, {"splits": [], "models": []}):
                pass
    return store


def play(plan: Plan, store: Store) -> None:
    """Run the search; every trial scores a little more than the one before."""
    made = searching(plan, store, Here())
    assert made is not None
    board = Board(made, store, lambda event: None)
    for index in range(board.restore()):
        board.next(str(index))
        board.report(str(index), 1, 0.5 + index / 10)
        board.done(str(index), "complete")
    board.close()


def test_a_search_is_an_entry_an_arm_and_what_is_common(planned: Plan, store: Store) -> None:
    play(planned, store)
    found = collect(planned, store, {})
    [arm] = found["searches"]
    assert (arm["label"], arm["teacher"], arm["select"]) == (
        "small <- big (kd)",
        "big",
        "macro_f1",
    )
    assert set(arm["spaces"]) == {"alpha", "T"}
    assert [trial["number"] for trial in arm["trials"]] == [0, 1, 2]
    assert arm["best"]["number"] == 2
    assert "attrs" not in arm["trials"][0]
    assert found["search"]["study"] == "jobs/tiny/study.journal"
    assert found["search"]["against"] == []
    assert found["search"]["budget"]["spent"]["trials"] == 3


def test_another_jobs_search_has_no_journal_here(planned: Plan, store: Store) -> None:
    play(planned, store)
    store.delete("jobs/tiny/study.journal")
    assert collect(planned, store, {})["search"]["study"] is None


def test_the_report_reads_what_the_search_wrote(planned: Plan, store: Store) -> None:
    play(planned, store)
    results = collect(planned, store, {})
    assert search_tables.pairs_table(results).rows[0][-1].value == 0.7
    assert search_section.spent(results)[0] == ("trials", "3 of 3")


def test_live_teachers_leave_no_records(planned: Plan, store: Store) -> None:
    play(planned, store)
    assert collect(planned, store, {})["knowledge"] == {"records": [], "ensembles": {}}


def test_records_are_told_as_their_step_wrote_them(tiny_job: dict[str, Any]) -> None:
    plan = plan_job(Experiment.model_validate(tiny_job))
    store = Store(plan.job.storage.uri)
    logits = Column("logits", (4,), "float32")
    recording = Recording("big", "0a", {}, (), (logits,), 2, 40, {}, Knowledge())
    for step in plan.steps():
        kept = record._result(recording, 80, 1.5) if step.kind == "record" else {}
        with store.publish(step.path, {"splits": [], "models": [], **kept}):
            pass
    results = collect(plan, store, {})
    assert (results["searches"], results["search"]) == ([], None)
    [found] = results["knowledge"]["records"]
    assert found["bytes"] == 2 * 40 * 4 * 4
    shown = [cell.text for cell in knowledge.records_table(results).rows[0]]
    assert shown == ["big", "2", "40", "80", "logits", "1.28 kB", "0", "1.50 s"]
