"""Nothing is lost: drivers and nodes are killed for real, and the job ends as if they were not."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.clusters import Processes, fixed
from tests.end_to_end.driver import PATIENCE_S, Kdray

pytestmark = [pytest.mark.ray, pytest.mark.end_to_end]


def test_running_a_finished_job_again_does_no_work(undisturbed: Kdray) -> None:
    before, results = undisturbed.finished(), undisturbed.results()
    events = len(undisturbed.events())
    code, output = undisturbed.run("run", "job.yaml", "--plain")
    assert code == 0, output
    assert undisturbed.finished() == before
    assert undisturbed.results() == results
    kinds = {event["kind"] for event in undisturbed.events()[events:]}
    assert kinds == {"job_started", "step_skipped", "job_finished"}
    versions = undisturbed.folder / "registry" / "tiny" / "versions"
    assert len(list(versions.iterdir())) == 1


def _in(kind: str, *steps: str) -> Any:
    def wanted(event: Mapping[str, Any]) -> bool:
        return bool(event["kind"] == kind and event.get("step", "").startswith(steps))

    return wanted


def test_a_driver_killed_in_every_step_ends_with_the_results_of_an_undisturbed_one(
    undisturbed: Kdray, cluster: str, tmp_path: Path
) -> None:
    kdray = Kdray(tmp_path / "killed", cluster)
    moments = [
        _in("step_started", "prepare"),
        _in("epoch", "pretrain"),
        _in("progress", "record"),
        lambda event: event["kind"] == "trial" and event["state"] == "complete",
        _in("epoch", "distil"),
        _in("step_started", "evaluate"),
        _in("step_started", "explain"),
    ]
    for moment in moments:
        before = kdray.finished()
        assert kdray.run_until(moment, signal.SIGKILL) == -signal.SIGKILL
        after = kdray.finished()
        assert {name: after[name] for name in before} == before  # no finished step again
    before = kdray.finished()
    code, output = kdray.run("run", "job.yaml", "--plain")
    assert code == 0, output
    after = kdray.finished()
    assert {name: after[name] for name in before} == before
    assert kdray.results() == undisturbed.results()
    assert not list((kdray.storage / "work").glob("*"))


def test_a_job_across_nodes_of_which_two_die_ends_with_the_results_of_an_undisturbed_one(
    undisturbed: Kdray, tmp_path: Path
) -> None:
    with fixed(head_cpus=0) as nodes:
        living = [nodes.start_node(cpus=1) for _ in range(3)]
        kdray = Kdray(tmp_path, nodes.address)
        driver = kdray.start("run", "job.yaml", "--plain")
        try:
            pretrained = kdray.wait_for(_in("epoch", "pretrain"), driver)
            _kill_the_one_with(pretrained["pid"], living)
            searched = kdray.wait_for(_in("epoch", "search"), driver)
            _kill_the_one_with(searched["pid"], living)
            output, _ = driver.communicate(timeout=PATIENCE_S)
            assert driver.returncode == 0, output
        finally:
            driver.kill()
    begun = [event["run"] for event in kdray.events() if event["kind"] == "run_started"]
    assert begun.count(pretrained["run"]) == 2
    assert len(begun) == len(set(begun)) + 2  # that one, and a trial
    assert kdray.results() == undisturbed.results()


def _kill_the_one_with(pid: int, living: list[Processes]) -> None:
    (node,) = [node for node in living if pid in node]
    living.remove(node)
    node.kill()


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(cluster: str, tmp_path: Path) -> None:
    kdray = Kdray(tmp_path / "stopped", cluster)
    code = kdray.run_until(_in("step_started", "prepare"), signal.SIGINT)
    assert code == 130, kdray.output
    code, output = kdray.run("status", "job.yaml")
    assert code == 0
    assert "stopped" in output
    assert kdray.events()[-1]["kind"] == "job_stopped"
