"""The verbs as a user calls them, with a cluster that is a list in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import JobError, LaunchError
from kdray.launch import fit, targets
from kdray.launch.place import OVER, Order, Sent, Sighting
from kdray.launch.record import launched, read_launch, write_launch
from kdray.launch.targets import find_target
from kdray.run.driver import LAUNCH
from kdray.run.journal import Journal
from kdray.spec import Target
from kdray.store import Store

Kdray = Callable[..., Any]


class Cluster:
    """A ``Place`` whose jobs do what the test says."""

    where = "a cluster of the tests"

    def __init__(self) -> None:
        self.seen: dict[str, Sighting] = {}
        self.orders: list[Order] = []
        self.next: list[Sighting] = []  # what `look` finds, one after the other
        self.is_down = False
        self.stopped: list[tuple[str, float]] = []
        self.log = "from the driver\n"

    def submit(self, order: Order, new: bool = False) -> Sent:
        self._ask()
        running = [s for s in self.jobs() if s.id.startswith(order.id) and s.state not in OVER]
        if running and not new:
            return Sent(running[0], attached=True)
        tries = sum(id.startswith(order.id) for id in self.seen)
        id = f"{order.id}-{tries + 1}" if tries else order.id
        self.orders.append(order)
        self.seen[id] = Sighting(
            order.job, id, "pending", "waits for nodes.", self.where, 100.0, storage=order.storage
        )
        return Sent(self.seen[id], attached=False, notes=("one note.",))

    def jobs(self) -> list[Sighting]:
        self._ask()
        return list(reversed(self.seen.values()))

    def look(self, id: str) -> Sighting | None:
        self._ask()
        if self.next:
            self.seen[id] = self.next.pop(0)
        return self.seen.get(id)

    def logs(self, id: str, follow: bool = False) -> Iterator[str]:
        self._ask()
        yield self.log

    def stop(self, id: str, wait_s: float, tell: Callable[[str], None] | None = None) -> str:
        self._ask()
        self.stopped.append((id, wait_s))
        if tell:
            tell("asked it to stop")
        return f"{id} is stopped."

    def _ask(self) -> None:
        if self.is_down:
            raise LaunchError(self.where, "does not answer.", "Start it.")

    @property
    def id(self) -> str:
        """The id of the job that was sent last."""
        return list(self.seen)[-1]

    def becomes(self, **changes: Any) -> None:
        """Change how the place shows the job that was sent last."""
        self.seen[self.id] = replace(self.seen[self.id], **changes)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Return the cluster behind every target that is not this machine."""
    place = Cluster()
    real = targets.open_place

    def opened(target: Target) -> Any:
        return real(target) if target.place.kind == "local" else place

    monkeypatch.setattr(targets, "open_place", opened)
    monkeypatch.setattr(fit, "check_fit", lambda job, target: [])
    monkeypatch.setattr("kdray.launch.sending.LOOK_S", 0.0)
    monkeypatch.delenv("KDRAY_TARGET", raising=False)
    return place


@pytest.fixture
def lab(spec: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """Return the storage of the target ``lab``, which this machine sees too."""
    folder = tmp_path / "shared"
    folder.mkdir()
    file = tmp_path / "targets" / "lab.yaml"
    file.parent.mkdir()
    file.write_text(
        "apiVersion: kdray/v1\nkind: Target\nname: lab\n"
        f"storage: {folder}\nplace: {{kind: ray, address: 'http://head:8265'}}\n"
    )
    monkeypatch.setenv("KDRAY_TARGETS", str(file.parent))
    return Store(str(folder))


@pytest.fixture
def drive(lab: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that does what the driver of a job at the cluster would write."""

    def driver(id: str, *kinds: str, error: str = "", job: str = "tiny") -> None:
        monkeypatch.setenv(LAUNCH, id)
        with Journal(lab, job) as journal:
            journal.event("job_started", steps=[])
            for kind in kinds:
                journal.event(kind, **({"error": error} if error else {}))
        monkeypatch.delenv(LAUNCH)

    return driver


def submit(kdray: Kdray, *words: str) -> Any:
    return kdray("submit", "job.yaml", "--to", "lab", *words)


def test_what_was_sent_where_is_told_with_how_to_go_on(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    answer = submit(kdray)
    assert answer.code == 0
    first, *rest = answer.out.splitlines()
    assert first == f"tiny is pending as {cluster.id} at a cluster of the tests."
    assert "  one note." in rest
    assert "  waits for nodes." in rest
    assert "  follow it: kdray logs -f tiny --to lab" in rest
    assert f"  results:   {lab.uri}" in rest
    assert cluster.orders[0].storage == lab.uri


def test_what_was_sent_is_told_to_programs(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    facts = json.loads(submit(kdray, "--json").out)
    assert (facts["job"], facts["id"], facts["state"]) == ("tiny", cluster.id, "pending")
    assert (facts["attached"], facts["storage"]) == (False, lab.uri)


def test_the_same_job_is_not_sent_twice(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    submit(kdray)
    answer = submit(kdray)
    assert "is already pending" in answer.out
    assert "nothing was sent" in answer.out
    assert len(cluster.orders) == 1


def test_new_sends_it_all_the_same(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    submit(kdray)
    assert submit(kdray, "--new").out.startswith(f"tiny is pending as {cluster.id}")
    assert len(cluster.orders) == 2


def test_the_name_of_a_job_stands_for_the_one_that_runs(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    first = cluster.id
    cluster.becomes(state="running")
    assert "name this one by its id" in submit(kdray, "--new").out
    second = cluster.id
    cluster.becomes(state="failed", reason="is already run by process 7.")
    kdray("stop", "tiny", "--storage", lab.uri)
    assert cluster.stopped == [(first, 60.0)]
    assert json.loads(kdray("status", "tiny", "--to", "lab", "--json").out)["id"] == first
    by_id = json.loads(kdray("status", second, "--to", "lab", "--json").out)
    assert (by_id["id"], by_id["state"]) == (second, "failed")
    cluster.becomes(state="running")
    drive(second)  # its turn came
    facts = json.loads(kdray("status", "tiny", "--storage", lab.uri, "--json").out)
    assert (facts["id"], facts["state"]) == (second, "finished")


def test_a_place_that_is_gone_holds_no_job_for_ever(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    cluster.is_down = True
    answer = kdray("submit", "job.yaml", "--set", f"storage.uri={lab.uri}")
    assert (answer.code, "--new sends it all the same" in answer.err) == (1, True)


def test_another_version_of_a_running_job_is_not_sent(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    answer = submit(kdray, "--set", "search.trials=3")
    assert answer.code == 1
    assert "from another version of the job file" in answer.err
    assert len(cluster.orders) == 1


def test_a_job_that_runs_at_a_cluster_is_not_started_here(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    answer = kdray("submit", "job.yaml", "--set", f"storage.uri={lab.uri}")
    assert answer.code == 1
    assert f"already runs as {cluster.id} at a cluster of the tests" in answer.err


def test_an_ended_job_goes_on_from_its_storage(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    drive(cluster.id, "job_failed", error="no more images")
    cluster.becomes(state="failed")
    answer = submit(kdray)
    assert answer.code == 0
    assert "An earlier run has failed; this one goes on from what it has kept." in answer.out
    assert cluster.id.endswith("-2")


def test_a_new_run_under_the_id_of_a_stopped_one_is_not_taken_for_it(
    kdray: Kdray,
    cluster: Cluster,
    lab: Store,
    drive: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(kdray)
    id = cluster.id
    drive(id, "job_stopped")
    cluster.seen.clear()  # Kubernetes: stopping deletes the record
    real = cluster.submit

    def fails(order: Order, new: bool = False) -> Sent:
        sent = real(order, new)
        cluster.becomes(state="failed", reason="the image cannot be pulled.")
        return sent

    monkeypatch.setattr(cluster, "submit", fails)
    answer = submit(kdray, "--wait")
    assert cluster.id == id
    assert answer.code == 1
    assert "tiny: failed. the image cannot be pulled." in answer.err


def test_what_can_never_be_scheduled_is_not_sent(
    kdray: Kdray, cluster: Cluster, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: object, target: object) -> None:
        raise JobError("job.yaml", "needs 9 GPUs.")

    monkeypatch.setattr(fit, "check_fit", refuse)
    answer = submit(kdray)
    assert (answer.code, cluster.orders) == (2, [])
    assert "needs 9 GPUs" in answer.err


def test_a_relative_folder_is_refused_where_the_target_has_none(
    kdray: Kdray, cluster: Cluster, spec: Path
) -> None:
    answer = kdray("submit", "job.yaml", "--to", "http://head:8265")
    assert (answer.code, cluster.orders) == (2, [])
    assert "storage.uri: 'lab' is a folder of this machine" in answer.err


def test_a_target_that_is_not_there_is_wrong_usage(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    answer = kdray("submit", "job.yaml", "--to", "labb")
    assert answer.code == 2
    assert "Did you mean 'lab'?" in answer.err


def test_a_place_that_does_not_answer_is_one_clear_error(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    cluster.is_down = True
    answer = submit(kdray)
    assert answer.code == 1
    assert answer.err == "error a cluster of the tests: does not answer. Start it.\n"


@pytest.mark.parametrize(
    ("end", "exit_code", "code"),
    [
        ("finished", 0, 0),
        ("failed", 1, 1),
        ("stopped", 130, 130),
        ("failed", 2, 2),
        ("lost", None, 1),
    ],
)
def test_wait_exits_as_the_job_ends(
    kdray: Kdray, cluster: Cluster, lab: Store, end: Any, exit_code: int | None, code: int
) -> None:
    first = Sighting("tiny", "x", "pending", "waits for a GPU.")
    ended = replace(first, state=end, reason="OOM-killed.", exit_code=exit_code)
    cluster.next = [first, replace(first, state="running", reason=""), ended]
    answer = submit(kdray, "--wait")
    assert answer.code == code
    assert "pending: waits for a GPU." in answer.out
    if code:
        assert f"tiny: {end}. OOM-killed." in answer.err
        assert "from the driver" in answer.out
    else:
        assert answer.out.endswith("tiny is finished.\n")


def test_wait_shows_the_log_where_the_storage_is_not_seen(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    first = Sighting("tiny", "x", "pending", "waits for a GPU.")
    running, ended = replace(first, state="running", reason=""), replace(first, state="failed")
    cluster.next = [first, running, running, ended]
    sets = ("--set", "storage.uri=/nowhere/here", "--set", "promote.registry=/nowhere/models")
    answer = submit(kdray, "--wait", *sets)
    assert answer.code == 1
    assert answer.out.endswith("pending: waits for a GPU.\nrunning\nfrom the driver\n")
    cluster.next = [running, replace(ended, state="finished")]
    assert "from the driver" not in submit(kdray, "--wait", "--json", *sets).out


def test_wait_believes_what_the_driver_wrote(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    drive(cluster.id, "job_failed", error="a class has no images")
    cluster.becomes(state="failed", reason="exit code 1")
    answer = kdray("status", "tiny", "--to", "lab", "--json")
    assert json.loads(answer.out)["error"] == "a class has no images"


def test_wait_shows_the_events_of_this_run(
    kdray: Kdray,
    cluster: Cluster,
    lab: Store,
    drive: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drive("earlier", "note")
    look = cluster.look

    def looked(id: str) -> Sighting | None:
        drive(id)
        cluster.becomes(state="finished")
        return look(id)

    monkeypatch.setattr(cluster, "look", looked)
    answer = submit(kdray, "--wait")
    assert answer.code == 0
    assert answer.out.count("job started") == 1


def test_wait_gives_programs_the_end(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    cluster.next = [Sighting("tiny", "x", "stopped", exit_code=130)]
    answer = submit(kdray, "--wait", "--json")
    assert answer.code == 130
    assert json.loads(answer.out)["end"]["state"] == "stopped"


@pytest.mark.parametrize("words", [("tiny", "--to", "lab"), ("job.yaml", "--to", "lab")])
def test_status_of_a_job_that_has_not_begun_says_why(
    kdray: Kdray, cluster: Cluster, lab: Store, words: tuple[str, ...]
) -> None:
    submit(kdray)
    lines = kdray("status", *words).out.splitlines()
    assert lines[:2] == ["tiny  pending", "waits for nodes."]


def test_status_finds_a_job_by_its_id_and_by_its_storage_alone(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    by_id = json.loads(kdray("status", cluster.id, "--to", "lab", "--json").out)
    by_storage = json.loads(kdray("status", "tiny", "--storage", lab.uri, "--json").out)
    id_there = json.loads(kdray("status", cluster.id, "--storage", lab.uri, "--json").out)
    assert by_id["id"] == by_storage["id"] == id_there["id"] == cluster.id
    assert by_storage["state"] == "pending"


def test_a_file_stands_for_a_job_that_was_sent_with_another_storage(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    head = ("--to", "http://head:8265")
    kdray("submit", "job.yaml", *head, "--set", f"storage.uri={lab.uri}")
    facts = json.loads(kdray("status", "job.yaml", *head, "--json").out)
    assert (facts["id"], facts["storage"]) == (cluster.id, lab.uri)


def test_work_comes_before_a_service_of_the_same_name(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    (Path(lab.uri) / "jobs" / "tiny" / "launch.json").unlink()
    cluster.seen["tiny"] = Sighting("tiny", "tiny", "running", kind="Service")
    assert kdray("status", "tiny", "--to", "lab").out.startswith("tiny  pending")


@pytest.fixture
def service(kdray: Kdray, cluster: Cluster, lab: Store) -> Sighting:
    """Return a service of the same name that runs at the cluster, written down as a launch."""
    order = Order("tiny", "Service", "tiny", "", "ward.yaml", lab.uri)
    target = find_target("lab")
    write_launch(lab, launched(target, order, ("tiny", cluster.where), None))
    cluster.seen["tiny"] = Sighting("tiny", "tiny", "running", kind="Service", storage=lab.uri)
    return cluster.seen["tiny"]


def test_a_service_is_not_in_the_way_of_a_job_of_its_name(
    kdray: Kdray, cluster: Cluster, lab: Store, service: Sighting
) -> None:
    assert submit(kdray).code == 0
    assert cluster.orders[0].kind == "Experiment"


def test_a_job_that_ran_here_and_a_service_of_its_name_are_two(
    kdray: Kdray, cluster: Cluster, lab: Store, service: Sighting, drive: Callable[..., None]
) -> None:
    drive("")
    found = json.loads(kdray("jobs", "--storage", lab.uri, "--json").out)
    shown = {one["where"]: one["state"] for one in found}
    assert shown == {cluster.where: "running", "this machine": "finished"}
    facts = json.loads(kdray("status", "tiny", "--storage", lab.uri, "--json").out)
    assert (facts["where"], facts["state"]) == ("this machine", "finished")


def test_an_address_of_the_environment_is_written_down(
    kdray: Kdray, cluster: Cluster, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://first:8265")
    kdray("submit", "job.yaml", "--to", "ray", "--set", f"storage.uri={lab.uri}")
    monkeypatch.setenv("RAY_ADDRESS", "http://second:8265")
    launch = read_launch(lab, "tiny")
    assert launch is not None
    assert launch.target.place.model_dump()["address"] == "http://first:8265"


def test_a_target_that_is_told_otherwise_is_the_same_place(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    file = Path("targets/lab.yaml")
    file.write_text(file.read_text().replace("8265'", "8265', environment: {AWS_REGION: eu}"))
    assert "nothing was sent" in submit(kdray).out
    assert json.loads(kdray("status", "tiny", "--to", "lab", "--json").out)["id"] == cluster.id


def test_the_environment_may_name_the_target_of_all_verbs(
    kdray: Kdray, cluster: Cluster, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDRAY_TARGET", "lab")
    assert "follow it: kdray logs -f tiny\n" in kdray("submit", "job.yaml").out
    assert kdray("status", "tiny").out.startswith("tiny  pending")
    assert kdray("logs", "tiny").out == "from the driver\n"


def test_status_of_a_running_job_is_told_by_its_driver(
    kdray: Kdray, cluster: Cluster, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(kdray)
    cluster.becomes(state="running", reason="")
    monkeypatch.setenv(LAUNCH, cluster.id)
    with Journal(lab, "tiny") as journal:
        journal.event("job_started", steps=[{"id": "p", "label": "prepare", "state": "waiting"}])
        journal.event("step_started", "p")
        answer = kdray("status", "tiny", "--to", "lab")
    assert answer.out.startswith("tiny  running")
    assert "prepare" in answer.out
    assert f"{cluster.id} at a cluster of the tests" in answer.out


def test_a_driver_that_was_killed_is_told_by_the_place(
    kdray: Kdray, cluster: Cluster, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(kdray)
    cluster.becomes(state="failed", reason="The head was OOM-killed: give it more memory.")
    monkeypatch.setenv(LAUNCH, cluster.id)
    with Journal(lab, "tiny"):
        facts = json.loads(kdray("status", "tiny", "--to", "lab", "--json").out)
    assert (facts["state"], facts["error"]) == (
        "failed",
        "The head was OOM-killed: give it more memory.",
    )


def test_a_job_that_is_tried_again_is_not_over(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    drive(cluster.id, "job_failed", error="lost a node")
    cluster.becomes(state="pending", reason="is tried again, 2 of 3.")
    facts = json.loads(kdray("status", "tiny", "--to", "lab", "--json").out)
    assert (facts["state"], facts["error"]) == ("pending", "is tried again, 2 of 3.")


def test_the_state_of_an_earlier_run_is_not_taken_for_that_of_the_new_one(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    drive("")
    submit(kdray)
    facts = json.loads(kdray("status", "tiny", "--storage", lab.uri, "--json").out)
    assert facts["state"] == "pending"


def test_a_later_run_by_other_means_is_the_one_that_is_shown(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    cluster.becomes(state="failed")
    drive("")
    facts = json.loads(kdray("status", "tiny", "--storage", lab.uri, "--json").out)
    assert (facts["state"], facts["where"]) == ("finished", "this machine")


def test_a_place_that_is_gone_leaves_what_the_driver_wrote(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    drive(cluster.id, "job_failed", error="no images")
    cluster.is_down = True
    answer = kdray("status", "tiny", "--storage", lab.uri)
    assert answer.code == 0
    assert answer.out.startswith("tiny  failed")
    assert "does not answer" in answer.out


def test_a_job_that_nobody_knows_is_wrong_usage(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    answer = kdray("status", "tinny", "--to", "lab")
    assert answer.code == 2
    assert "knows no such job. Did you mean 'tiny'?" in answer.err
    answer = kdray("status", "other", "--to", "lab")
    assert "knows no such job. See `kdray jobs --to lab`." in answer.err


def test_logs_are_those_of_the_driver(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    submit(kdray)
    assert kdray("logs", "-f", "tiny", "--to", "lab").out == "from the driver\n"


def test_a_job_that_has_printed_nothing_says_what_it_waits_for(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    kdray("submit", "job.yaml", "--to", "lab")
    cluster.log = ""
    answer = kdray("logs", "tiny", "--to", "lab")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "tiny is pending and has printed nothing. waits for nodes.\n"


def test_logs_outlive_their_cluster(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    submit(kdray)
    drive(cluster.id)
    cluster.is_down = True
    assert "job finished" in kdray("logs", "tiny", "--storage", lab.uri).out
    lab.write("jobs/tiny/log/0000.txt", b"kept lines\n")
    answer = kdray("logs", "tiny", "--storage", lab.uri)
    assert answer.out == "kept lines\n"
    assert "does not answer" in answer.err


def test_events_need_a_storage_that_is_seen(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    sets = ("--set", "storage.uri=/nowhere/here", "--set", "promote.registry=/nowhere/models")
    answer = submit(kdray, *sets)
    assert "/nowhere/here is not seen from this machine" in answer.out
    answer = kdray("logs", "tiny", "--to", "lab", "--events")
    assert answer.code == 1
    assert "is not seen from this machine" in answer.err
    assert kdray("logs", "tiny", "--to", "lab").out == "from the driver\n"


def test_a_folder_of_the_nodes_is_not_made_here(
    kdray: Kdray, cluster: Cluster, lab: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "nodes" / "runs"
    submit(kdray, "--set", f"storage.uri={folder}", "--set", f"promote.registry={folder}")
    assert kdray("status", "tiny", "--to", "lab").out.startswith("tiny  pending")
    assert not folder.parent.exists()


def test_stop_ends_the_job_at_its_place(kdray: Kdray, cluster: Cluster, lab: Store) -> None:
    submit(kdray)
    answer = kdray("stop", "tiny", "--to", "lab", "--wait", "7")
    assert answer.out == f"asked it to stop\n{cluster.id} is stopped.\n"
    assert cluster.stopped == [(cluster.id, 7.0)]


def test_stop_of_a_job_that_is_over_asks_nobody(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    cluster.becomes(state="failed")
    answer = kdray("stop", "tiny", "--to", "lab", "--json")
    assert json.loads(answer.out)["done"] == "tiny is failed: there is nothing to stop."
    assert cluster.stopped == []


def test_jobs_of_a_place_are_listed_with_why_they_wait(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    assert kdray("jobs", "--to", "lab").out == "No job was sent to a cluster of the tests yet.\n"
    submit(kdray)
    said = kdray("jobs", "--to", "lab").out
    assert cluster.id in said
    assert f"{cluster.id}: waits for nodes." in said
    found = json.loads(kdray("jobs", "--to", "lab", "--json").out)
    assert [(one["job"], one["state"], one["id"]) for one in found] == [
        ("tiny", "pending", cluster.id)
    ]


def test_jobs_of_a_storage_show_those_sent_and_those_run_here(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None]
) -> None:
    drive("", job="other")
    submit(kdray)
    found = json.loads(kdray("jobs", "--storage", lab.uri, "--json").out)
    assert {one["job"]: one["state"] for one in found} == {"tiny": "pending", "other": "finished"}
    cluster.is_down = True
    answer = kdray("jobs", "--storage", lab.uri)
    assert answer.code == 0
    assert "note: a cluster of the tests: does not answer." in answer.out


def test_results_are_read_from_the_targets_storage(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    submit(kdray)
    answer = kdray("results", "job.yaml", "--to", "lab")
    assert answer.code in (1, 2)
    assert lab.uri in answer.err


@pytest.mark.parametrize("more", ["", "-2"])
def test_results_are_found_by_an_id(
    kdray: Kdray, cluster: Cluster, lab: Store, drive: Callable[..., None], more: str
) -> None:
    submit(kdray)
    drive(cluster.id)
    for options in (("--to", "lab"), ("--storage", lab.uri)):
        for verb in ("results", "report"):
            answer = kdray(verb, f"{cluster.id}{more}", *options)
            assert f"{lab.uri}/jobs/tiny: there are no results yet" in answer.err
    assert "no job 'tiny-00000000' was" in kdray("results", "tiny-00000000", "--to", "lab").err


def test_results_that_only_the_cluster_sees_are_told_as_such(
    kdray: Kdray, cluster: Cluster, lab: Store
) -> None:
    sets = ("--set", "storage.uri=/nowhere/here", "--set", "promote.registry=/nowhere/models")
    submit(kdray, *sets)
    Path("job.yaml").write_text(Path("job.yaml").read_text().replace("lab}", "/nowhere/here}"))
    answer = kdray("results", "job.yaml", "--to", "lab")
    assert answer.code == 1
    assert "its results are in /nowhere/here, not seen from here" in answer.err


def test_a_target_file_is_no_job(kdray: Kdray, lab: Store) -> None:
    answer = kdray("run", "targets/lab.yaml")
    assert answer.code == 2
    assert "is a Target, which says where jobs run. Give it to --to" in answer.err


def test_a_target_file_is_validated(kdray: Kdray, lab: Store) -> None:
    assert kdray("validate", "targets/lab.yaml").out == "valid: Target lab\n"
    file = Path("targets/lab.yaml")
    file.write_text(file.read_text().replace("address", "adress"))
    answer = kdray("validate", "targets/lab.yaml")
    assert answer.code == 2
    assert "targets/lab.yaml:5:20: place.adress: no such field." in answer.err
