from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.run.journal import Journal, read_state
from kdray.store import Store

Kdray = Callable[..., Any]
STEPS = [
    {"id": "prepare", "label": "prepare phantom", "state": "done"},
    {"id": "search", "label": "search kd", "state": "waiting"},
]


@pytest.fixture
def lab(tmp_path: Path) -> Store:
    """Return a storage with a finished job ``tiny``."""
    store = Store(str(tmp_path / "lab"))
    with Journal(store, "tiny") as journal:
        journal.state(spec="job.yaml", command="kdray run job.yaml")
        journal.event("job_started", steps=STEPS)
        journal.event("step_started", "search")
        journal.event("trial", "search", number=0, trials=1, score=0.75, state="complete")
        journal.event("step_finished", "search", seconds=61.0)
    return store


def test_jobs_of_an_empty_storage_are_none(kdray: Kdray) -> None:
    assert kdray("jobs").out == "No job was started in 'runs' yet.\n"
    assert json.loads(kdray("jobs", "--json").out) == []


def test_jobs_lists_each_job_with_its_state(kdray: Kdray, lab: Store) -> None:
    row = next(
        line for line in kdray("jobs", "--storage", "lab").out.splitlines() if "tiny" in line
    )
    assert "finished" in row
    assert "job.yaml" in row
    found = json.loads(kdray("jobs", "--storage", "lab", "--json").out)
    assert [(state["job"], state["state"]) for state in found] == [("tiny", "finished")]


def test_status_shows_the_steps_and_the_best_score(kdray: Kdray, lab: Store) -> None:
    answer = kdray("status", "tiny", "--storage", "lab")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("tiny  finished")
    assert "already done" in lines[1]
    assert "1:01" in lines[2]
    assert "0.750" in lines[2]


def test_status_gives_programs_the_same_facts(kdray: Kdray, lab: Store) -> None:
    facts = json.loads(kdray("status", "tiny", "--storage", "lab", "--json").out)
    assert facts["state"] == "finished"
    assert [step["state"] for step in facts["steps"]] == ["skipped", "done"]
    assert facts["steps"][1]["best"] == 0.75


def test_a_job_file_stands_for_its_job_and_its_storage(
    kdray: Kdray, lab: Store, spec: Path
) -> None:
    spec.write_text(spec.read_text().replace("methods: []", "methods: [none]"))
    answer = kdray("status", "job.yaml", "--json")
    if "no method is called" in answer.err or "no model is called" in answer.err:
        pytest.skip("the parts of the job file are not there")
    assert json.loads(answer.out)["job"] == "tiny"


def test_a_name_that_is_nearly_right_is_suggested(kdray: Kdray, lab: Store) -> None:
    answer = kdray("status", "tinny", "--storage", "lab")
    assert answer.code == 2
    assert "Did you mean 'tiny'?" in answer.err


@pytest.mark.parametrize("name", ["../tiny", "", ".", "nope"])
def test_a_job_that_is_not_there_is_wrong_usage(kdray: Kdray, lab: Store, name: str) -> None:
    answer = kdray("status", name, "--storage", "lab")
    assert answer.code == 2
    assert "no job" in answer.err


def test_status_of_a_lost_job_says_how_to_go_on(kdray: Kdray, lab: Store) -> None:
    state = {**(read_state(lab, "tiny") or {}), "state": "running", "born": "1"}
    lab.write_json("jobs/tiny/state.json", state)
    answer = kdray("status", "tiny", "--storage", "lab")
    assert answer.out.startswith("tiny  lost")
    assert "Continue with `kdray run job.yaml`" in answer.out


def test_logs_of_a_job_that_ran_in_the_foreground_are_its_events(kdray: Kdray, lab: Store) -> None:
    lines = kdray("logs", "tiny", "--storage", "lab").out.splitlines()
    assert lines[0].endswith("job started: 2 steps, 1 already done")
    assert lines[-1].split()[1:3] == ["job", "finished"]


def test_logs_of_a_background_job_are_what_it_printed(kdray: Kdray, lab: Store) -> None:
    Path(lab.path("jobs/tiny/log.txt")).write_text("from the driver \u00e9\n", encoding="utf-8")
    assert kdray("logs", "tiny", "--storage", "lab").out == "from the driver \u00e9\n"


def test_a_log_of_an_earlier_run_is_not_shown_for_a_later_one(kdray: Kdray, lab: Store) -> None:
    log = Path(lab.path("jobs/tiny/log.txt"))
    log.write_text("from an earlier run\n")
    os.utime(log, (1.0, 1.0))
    assert "job started" in kdray("logs", "tiny", "--storage", "lab").out


def test_logs_as_events_are_json_lines(kdray: Kdray, lab: Store) -> None:
    lines = kdray("logs", "tiny", "--storage", "lab", "--events").out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == [
        "job_started",
        "step_started",
        "trial",
        "step_finished",
        "job_finished",
    ]


def test_logs_that_follow_end_with_the_job(lab: Store) -> None:
    program = [sys.executable, "-m", "kdray.cli.main", "logs", "-f", "next"]
    with Journal(lab, "next") as journal:
        journal.event("job_started", steps=[])
        process = subprocess.Popen([*program, "--storage", lab.uri], stdout=-1, text=True)
        assert process.stdout is not None
        assert "job started" in process.stdout.readline()
        journal.event("note", text="later")
    said, _ = process.communicate(timeout=60)
    assert [line.split(" ", 1)[1] for line in said.splitlines()] == [
        "later",
        "job finished in 0:00",
    ] or said.splitlines()[-1].split()[1:3] == ["job", "finished"]


def test_stop_ends_a_running_job_and_says_how_to_continue(kdray: Kdray, tmp_path: Path) -> None:
    code = (
        "import time; from kdray.run.journal import Journal; from kdray.store import Store\n"
        "with Journal(Store('lab'), 'tiny'): print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=-1, stderr=-1, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        answer = kdray("stop", "tiny", "--storage", "lab", "--json")
        process.send_signal(signal.SIGKILL)
    assert json.loads(answer.out)["done"].startswith("tiny is stopped.")
    assert json.loads(kdray("jobs", "--storage", "lab", "--json").out)[0]["state"] == "stopped"


def test_stop_of_a_finished_job_has_nothing_to_do(kdray: Kdray, lab: Store) -> None:
    answer = kdray("stop", "tiny", "--storage", "lab")
    assert (answer.code, answer.out) == (0, "tiny is finished: there is nothing to stop.\n")


def test_a_wrong_job_file_is_not_submitted(kdray: Kdray, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("name:", "nmae:"))
    answer = kdray("submit", "job.yaml")
    assert answer.code == 2
    assert "error job.yaml:" in answer.err
    assert list(spec.parent.iterdir()) == [spec]
