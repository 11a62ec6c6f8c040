"""Jobs at a real Ray head, which asks for a token, by its Jobs API."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdray.cli.main import main
from kdray.errors import LaunchError, NeverFits
from kdray.launch import ray_ship
from kdray.launch.check import place_checks
from kdray.launch.fit import check_fit
from kdray.launch.order import order_id
from kdray.launch.place import Order, Sighting
from kdray.launch.ray import RayJobs
from kdray.run.journal import read_state
from kdray.run.output import stored_log
from kdray.spec import parse_job
from kdray.spec.target import RayCluster, Target
from kdray.store import Store
from tests.end_to_end.clusters import Cluster, free_port

pytestmark = [pytest.mark.end_to_end]

TOKEN = "k" * 32
#: Version of the kdray that is sent, and of none that is installed.
SENT = "0.1.0+sent"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Start a Ray cluster of one node, of processes of its own, and give how it is reached."""
    port = free_port()
    token = tmp_path_factory.mktemp("head") / "token"
    token.write_text(TOKEN)
    # Ray's sockets lie in this folder, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        ports = [f"--dashboard-port={port}", f"--dashboard-agent-listen-port={free_port()}"]
        try:
            cluster.start_head(
                2,
                *ports,
                "--node-ip-address=127.0.0.1",
                RAY_AUTH_MODE="token",
                RAY_AUTH_TOKEN=TOKEN,
                PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            )
            yield RayCluster(kind="ray", address=f"http://127.0.0.1:{port}", token_file=str(token))
        finally:
            cluster.end()


@pytest.fixture(scope="module")
def place(head: RayCluster) -> RayJobs:
    return RayJobs(head)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the results of all jobs."""
    return tmp_path_factory.mktemp("results")


def order(folder: Path, name: str, **changes: Any) -> Order:
    """Return a small job as it is sent."""
    model = {"name": "cnn5", "params": {"widths": [2] * 5}}
    source = {"name": "phantom", "params": {"num_images": 60, "size": 32}}
    job = {
        "apiVersion": "kdray/v1",
        "kind": "Experiment",
        "name": name,
        "data": {"source": source, "image_size": 32, "channels": 1},
        "students": [{"id": "small", "model": model}],
        "methods": ["none"],
        "train": {"student": {"epochs": 1}},
        "search": {"trials": 0},
        "evaluate": {"seeds": 1, "latency_repeats": 1},
        "explain": {"methods": ["featuremaps"], "images": 1, "scored": 0},
        "promote": {"registry": str(folder / "registry")},
        "storage": {"uri": str(folder / "runs")},
    }
    spec = yaml.safe_dump({**job, **changes})
    id = order_id(name, spec)
    return Order(name, "Experiment", id, spec, "job.yaml", str(folder / "runs"))


def given_target(head: RayCluster) -> Target:
    return Target(apiVersion="kdray/v1", kind="Target", name="head", place=head)


def seen(place: RayJobs, id: str) -> Sighting:
    found = place.look(id)
    assert found is not None
    return found


@dataclass(frozen=True)
class Ended:
    """A job that was followed to its end, and what it printed."""

    seen: Sighting
    log: str


def followed(place: RayJobs, id: str) -> Ended:
    log = "".join(place.logs(id, follow=True))
    return Ended(seen(place, id), log)


@pytest.fixture(scope="module")
def refused(place: RayJobs, folder: Path) -> Ended:
    """Send a job whose file has a mistake."""
    sent = place.submit(order(folder, "wrong", train={"student": {"epochs": "many"}}))
    return followed(place, sent.seen.id)


@pytest.fixture(scope="module")
def finished(
    place: RayJobs, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ended, bool]:
    """Send a job twice, with a kdray that is nowhere installed, and follow it to its end."""
    code = tmp_path_factory.mktemp("code") / "kdray"
    shutil.copytree(ray_ship.folder_of("kdray"), code)
    init = code / "__init__.py"
    init.write_text(init.read_text().replace('"0.1.0"', f'"{SENT}"'))
    real = ray_ship.folder_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_ship, "folder_of", lambda name: code if name == "kdray" else real(name))
        first = place.submit(order(folder, "tiny"))
    second = place.submit(order(folder, "tiny"))
    assert (first.attached, second.seen.id) == (False, first.seen.id)
    return followed(place, first.seen.id), second.attached


def test_a_head_that_asks_for_a_token_says_so(head: RayCluster) -> None:
    with pytest.raises(LaunchError, match=r"asks for a token\. Set RAY_AUTH_TOKEN"):
        RayJobs(head.model_copy(update={"token_file": None})).jobs()


def test_the_doctor_finds_that_the_head_can_take_jobs(head: RayCluster, place: RayJobs) -> None:
    checks = {check.name: check for check in place_checks(given_target(head))}
    assert {check.state for check in checks.values()} == {"ok"}, checks
    assert checks["python"].fact == f"{platform.python_version()} on the head"
    assert not [job for job in place.jobs() if "doctor" in job.id]


def test_a_wrong_token_is_refused(head: RayCluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 32)
    wrong = head.model_copy(update={"token_file": str(tmp_path / "token")})
    with pytest.raises(LaunchError, match=r"refuses the token\."):
        RayJobs(wrong).jobs()


def test_a_job_that_nobody_sent_is_not_there(place: RayJobs) -> None:
    assert place.look("nothing-00000000") is None
    with pytest.raises(LaunchError, match="knows no job 'nothing-00000000'"):
        place.stop("nothing-00000000", 1.0)


def test_a_refused_job_file_ends_with_exit_code_2(refused: Ended) -> None:
    assert (refused.seen.state, refused.seen.exit_code) == ("failed", 2)


def test_the_reason_of_a_refused_job_file_names_the_place_of_the_mistake(refused: Ended) -> None:
    assert refused.seen.reason.startswith("The job file is refused there: job.yaml:")
    assert "train.student.epochs" in refused.seen.reason
    assert "many" in refused.log


def test_a_job_that_failed_is_not_stopped(place: RayJobs, refused: Ended) -> None:
    assert place.stop(refused.seen.id, 1.0).endswith("is failed: there is nothing to stop.")


def test_a_job_that_is_over_is_sent_again_under_the_next_id(
    place: RayJobs, folder: Path, refused: Ended
) -> None:
    again = place.submit(order(folder, "wrong", train={"student": {"epochs": "many"}}))
    assert (again.attached, again.seen.id) == (False, f"{refused.seen.id}-2")
    assert [job.id for job in place.jobs() if job.job == "wrong"] == [
        again.seen.id,
        refused.seen.id,
    ]


def test_a_job_that_finished_has_exit_code_0(finished: tuple[Ended, bool]) -> None:
    found = finished[0].seen
    assert (found.state, found.exit_code, found.reason) == ("finished", 0, "")


def test_a_job_that_runs_is_not_sent_twice(finished: tuple[Ended, bool]) -> None:
    assert finished[1]


def test_a_followed_log_is_whole(place: RayJobs, finished: tuple[Ended, bool]) -> None:
    log = finished[0].log
    assert "job started: 5 steps" in log
    assert "Registered: small alone is version 1 of tiny" in log
    assert log == "".join(place.logs(finished[0].seen.id))


def test_the_code_that_runs_is_the_code_that_was_sent(
    finished: tuple[Ended, bool], folder: Path
) -> None:
    results = Store(str(folder / "runs")).read_json("jobs/tiny/results.json")
    assert results is not None
    assert results["version"] == SENT


def test_the_storage_has_what_a_driver_at_a_cluster_printed(
    finished: tuple[Ended, bool], folder: Path
) -> None:
    kept = "".join(stored_log(Store(str(folder / "runs")), "tiny"))
    assert kept.splitlines()[-1].startswith("Serve it:")
    assert kept in finished[0].log


def test_what_a_job_asks_is_compared_with_the_nodes_of_a_cluster(
    head: RayCluster, folder: Path
) -> None:
    job = parse_job(order(folder, "tiny").spec, "job.yaml", env={})
    found = {fit.stage: fit for fit in check_fit(job, given_target(head))}
    assert (found["distil"].cpus, found["distil"].runs) == (2, 1)
    wide = order(folder, "tiny", resources={"workers": 3, "cpus_per_worker": 1})
    with pytest.raises(NeverFits, match=r"distil on head: 3 at once .*nodes: 2 CPU"):
        check_fit(parse_job(wide.spec, "job.yaml", env={}), given_target(head))


def test_a_job_at_a_cluster_knows_its_id_and_where_its_results_are(
    finished: tuple[Ended, bool], folder: Path
) -> None:
    found = finished[0].seen
    state = read_state(Store(found.storage), "tiny")
    assert state is not None
    assert (state["state"], state["launch"]) == ("finished", found.id)
    assert (found.storage, found.kind) == (str(folder / "runs"), "Experiment")


def test_the_verbs_of_the_command_line_know_jobs_of_a_cluster(
    head: RayCluster,
    finished: tuple[Ended, bool],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, job = tmp_path / "target.yaml", tmp_path / "job.yaml"
    target.write_text(yaml.safe_dump(given_target(head).model_dump(mode="json")))
    job.write_text(order(folder, "tiny").spec)

    def kdray(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kdray", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), capsys.readouterr().out

    code, said = kdray("submit", str(job), "--to", str(target), "--wait")
    assert (code, "tiny is finished." in said) == (0, True)
    # Nothing but the storage is named: what was sent is written there.
    code, said = kdray("logs", "tiny", "--storage", finished[0].seen.storage)
    assert (code, "prepare phantom already done" in said) == (0, True)
    code, said = kdray("jobs", "--to", str(target), "--json")
    ids = [one["id"] for one in json.loads(said) if one["job"] == "tiny"]
    assert (code, len(ids), finished[0].seen.id in ids) == (0, 2, True)
    code, said = kdray("stop", ids[0], "--to", str(target))
    assert (code, "nothing to stop" in said) == (0, True)


def test_a_running_job_is_alone_and_is_stopped_as_by_ctrl_c(
    place: RayJobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = order(folder, "long", train={"student": {"epochs": 100_000}})
    id = place.submit(long).seen.id
    for piece in place.logs(id, follow=True):
        if "/100000" in piece:
            break
    other = order(folder, "long", train={"student": {"epochs": 100_001}})
    with pytest.raises(LaunchError, match=f"with other settings, as {id}. End it first"):
        place.submit(other)
    second = followed(place, place.submit(long, new=True).seen.id)
    assert (second.seen.id, second.seen.state, second.seen.exit_code) == (f"{id}-2", "failed", 1)
    assert "is already run by process" in second.seen.reason
    assert place.submit(long).seen.id == id  # not the one that failed
    real, late = place._tries, iter([[]])  # as if both were sent in the same moment
    monkeypatch.setattr(place, "_tries", lambda order: next(late, real(order)))
    assert place.submit(long).attached
    told: list[str] = []
    assert place.stop(id, 60.0, told.append) == f"{id} is stopped. Submit it again to continue."
    assert told[0].endswith(f"to stop {id}, waiting up to 60 s")
    state = read_state(Store(str(folder / "runs")), "long")
    assert (seen(place, id).state, (state or {})["state"]) == ("stopped", "stopped")
    assert "Traceback" not in "".join(place.logs(id))


@pytest.mark.parametrize(
    ("python", "code", "words"),
    [
        ("python0.9", 127, "`python` of the target"),
        ("sh -c 'kill -9 $$'", -9, "most likely because the head node ran out of memory"),
    ],
)
def test_a_driver_that_does_not_begin_or_is_killed_has_a_reason(
    head: RayCluster, folder: Path, python: str, code: int, words: str
) -> None:
    place = RayJobs(head.model_copy(update={"python": python, "ship": False}))
    sent = place.submit(replace(order(folder, "lacks"), id=f"lacks-{abs(code):08d}"))
    ended = followed(place, sent.seen.id).seen
    assert (ended.state, ended.exit_code) == ("failed", code)
    assert words in ended.reason


def test_a_cluster_of_another_version_gets_no_code(
    head: RayCluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RayJobs(head)
    place.jobs()
    monkeypatch.setattr(place._client, "ray_version", "2.9.1")
    with pytest.raises(LaunchError, match=r"runs Ray 2\.9\.1; .*`ship: false`"):
        place.submit(order(folder, "old"))
