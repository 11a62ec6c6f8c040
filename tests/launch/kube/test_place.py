from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.labels import QUEUE
from kdray.launch.kube.place import KubernetesPlace
from kdray.launch.place import Order
from kdray.launch.targets import open_place, pinned
from tests.launch.kube.api_server import ApiServer
from tests.launch.kube.given import ROOT, given_order, given_place, given_target
from tests.launch.kube.objects import MADE, NOW, event, in_state, ray_job

SPEC = (ROOT / "jobs" / "quickstart.yaml").read_text()


class Clock:
    """A clock that moves while somebody waits."""

    def __init__(self, on_pause: Callable[[float], None] | None = None) -> None:
        self.now = NOW
        self._on_pause = on_pause

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        if self._on_pause:
            self._on_pause(self.now)


def a_place(clock: Clock | None = None) -> KubernetesPlace:
    clock = clock or Clock()
    return KubernetesPlace(given_place(), pause=clock.pause, clock=clock)


def an_order(**changes: Any) -> Order:
    return given_order(**{"id": "tiny-1", "job": "tiny", "spec": SPEC, **changes})


def ended(server: ApiServer, name: str) -> None:
    """Let KubeRay say that a job is over."""
    (job,) = [each for each in server.holds("RayJob") if each["metadata"]["name"] == name]
    job["status"] = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


def test_a_job_is_sent_with_its_file_and_both_are_deleted_together(server: ApiServer) -> None:
    sent = a_place().submit(an_order())
    assert (sent.attached, sent.seen.id, sent.seen.job) == (False, "tiny-1", "tiny")
    assert (sent.seen.state, sent.seen.storage) == ("pending", "s3://bucket/runs")
    assert sent.seen.kind == "Experiment"
    (job,), (file,) = server.holds("RayJob"), server.holds("ConfigMap")
    assert file["data"]["job.yaml"] == SPEC
    (owner,) = file["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("RayJob", job["metadata"]["uid"])


def test_what_the_kubeconfig_says_is_told_for_those_who_have_another(server: ApiServer) -> None:
    target = given_target(namespace=None)
    place = pinned(target, open_place(target)).place.model_dump()
    assert (place["context"], place["namespace"]) == ("lab", "lab")


def test_the_same_job_sent_twice_is_found_running(server: ApiServer) -> None:
    place = a_place()
    place.submit(an_order())
    again = place.submit(an_order())
    assert (again.attached, again.seen.id) == (True, "tiny-1")
    assert len(server.holds("RayJob")) == 1


def test_a_job_that_is_over_is_tried_under_another_name(server: ApiServer) -> None:
    place = a_place()
    for name in ("tiny-1", "tiny-1-2", "tiny-1-3"):
        assert place.submit(an_order()).seen.id == name
        ended(server, name)
    assert [job.id for job in place.jobs()] == ["tiny-1-3", "tiny-1-2", "tiny-1"]


def test_new_sends_a_job_beside_the_one_that_runs(server: ApiServer) -> None:
    place = a_place()
    place.submit(an_order())
    assert place.submit(an_order(), new=True).seen.id == "tiny-1-2"


def test_a_job_of_the_same_name_with_other_settings_is_refused(server: ApiServer) -> None:
    place = a_place()
    place.submit(an_order())
    with pytest.raises(LaunchError, match=r"runs already .* as tiny-1\. End it first"):
        place.submit(an_order(id="tiny-2"))
    ended(server, "tiny-1")
    assert place.submit(an_order(id="tiny-2")).seen.id == "tiny-2"


def test_a_refused_job_leaves_nothing_behind(server: ApiServer) -> None:
    said = 'admission webhook "vrayjob.kb.io" denied the request: no owner'
    server.answers["PATCH", ".*/rayjobs/.*"] = (403, json.dumps({"message": said}))
    with pytest.raises(LaunchError, match=r"admission webhook vrayjob.kb.io refuses it: no own"):
        a_place().submit(an_order())
    assert server.holds("ConfigMap") == []


def test_what_cannot_be_taken_back_does_not_hide_the_refusal(server: ApiServer) -> None:
    server.answers["PATCH", ".*/rayjobs/.*"] = (422, json.dumps({"message": "no such thing"}))
    server.answers["DELETE", ".*"] = (403, json.dumps({"message": "you may not delete"}))
    with pytest.raises(LaunchError, match="refuses it: no such thing"):
        a_place().submit(an_order())


def test_a_file_that_was_there_stays_when_the_job_is_refused(server: ApiServer) -> None:
    place = a_place()
    place.submit(an_order())
    ended(server, "tiny-1")
    server.answers["PATCH", ".*/rayjobs/.*"] = (429, "{}")
    with pytest.raises(LaunchError, match="too much to do"):
        place.submit(an_order())
    (file,) = server.holds("ConfigMap")
    assert file["metadata"]["annotations"]["kdray/id"] == "tiny-1"


def test_only_kdrays_jobs_are_listed(server: ApiServer) -> None:
    other = ray_job("other")
    other["metadata"]["labels"] = {}
    server.put(ray_job("mine"), other)
    assert [job.id for job in a_place().jobs()] == ["mine"]


def test_a_job_says_whether_it_is_a_suite_or_a_service(server: ApiServer) -> None:
    suite, service = ray_job("suite"), ray_job("served")
    suite["metadata"]["annotations"]["kdray/kind"] = "Suite"
    server.put(suite, {**service, "kind": "RayService"})
    assert {job.id: job.kind for job in a_place().jobs()} == {
        "suite": "Suite",
        "served": "Service",
    }


def test_the_pods_of_jobs_that_are_over_are_not_asked_for_in_a_list(server: ApiServer) -> None:
    said = "Job entrypoint command failed with exit code 1, last logs (truncated):\nerror x\n"
    server.put(ray_job(jobDeploymentStatus="Failed", jobStatus="FAILED", message=said))
    (job,) = a_place().jobs()
    assert (job.state, job.exit_code) == ("failed", 1)
    assert job.reason == "The driver failed with exit code 1: x"
    assert not [path for _, path in server.asked if "/pods" in path or "/events" in path]


def test_a_job_is_seen_with_times_state_and_reason(server: ApiServer) -> None:
    image = {"waiting": {"reason": "ErrImageNeverPull"}}
    server.put(
        ray_job(jobDeploymentStatus="Initializing", rayClusterName="tiny-1-abc"),
        in_state(image, kind="head"),
    )
    seen = a_place().look("tiny-1")
    assert seen is not None
    assert (seen.job, seen.state, seen.created, seen.started) == ("tiny", "pending", NOW, None)
    assert seen.reason.startswith("The head pod: the image reg.example.org/kdray:1 is not on")
    assert seen.where == "Kubernetes lab, namespace lab"


def test_a_finished_job_has_its_times_and_exit_code(server: ApiServer) -> None:
    info = {"startTime": MADE, "endTime": "2026-01-01T00:01:00Z"}
    server.put(ray_job(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED", rayJobInfo=info))
    seen = a_place().look("tiny-1")
    assert seen is not None
    assert (seen.state, seen.exit_code, seen.reason) == ("finished", 0, "")
    assert (seen.started, seen.ended) == (NOW, NOW + 60)


def test_pods_of_an_earlier_try_give_no_reason(server: ApiServer) -> None:
    image = {"waiting": {"reason": "ErrImageNeverPull"}}
    server.put(
        ray_job(jobDeploymentStatus="Initializing", rayClusterName="tiny-1-new"),
        in_state(image, cluster="tiny-1-old"),
    )
    seen = a_place().look("tiny-1")
    assert seen is not None
    assert seen.reason == ""


def test_a_queue_that_may_not_be_looked_at_is_not_called_missing(server: ApiServer) -> None:
    job = ray_job(jobDeploymentStatus="Suspended", spec={"suspend": True})
    job["metadata"]["labels"][QUEUE] = "team"
    server.put(job)
    server.answers["GET", ".*/workloads"] = (403, "{}")
    seen = a_place().look("tiny-1")
    assert seen is not None
    assert seen.reason == "It waits in queue team."


def test_what_may_not_be_read_is_left_out(server: ApiServer) -> None:
    server.put(ray_job(jobDeploymentStatus="Initializing", rayClusterName="tiny-1-abc"))
    server.answers["GET", ".*/(pods|events|rayclusters/.*)"] = (403, "{}")
    seen = a_place().look("tiny-1")
    assert seen is not None
    assert seen.state == "pending"


@pytest.mark.parametrize("kind", ["rayjobs", "rayservices"])
def test_rights_for_jobs_or_for_services_are_enough_to_look(server: ApiServer, kind: str) -> None:
    server.put(ray_job("work"), {**ray_job("ward"), "kind": "RayService"})
    server.answers["GET", rf".*/{kind}(/.*)?"] = (403, "{}")
    place = a_place()
    (seen,) = place.jobs()
    assert place.look(seen.id) is not None
    assert place.look("nothing") is None


def test_without_any_rights_looking_is_refused(server: ApiServer) -> None:
    server.answers["GET", r".*/ray\w+(/.*)?"] = (403, "{}")
    with pytest.raises(LaunchError, match="cannot list RayJobs: it is forbidden"):
        a_place().jobs()
    with pytest.raises(LaunchError, match="cannot read RayJob x: it is forbidden"):
        a_place().look("x")


def test_a_namespace_that_is_not_there_is_not_one_without_jobs(server: ApiServer) -> None:
    place = a_place()
    with pytest.raises(LaunchError, match="there is no namespace lab"):
        place.jobs()
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab"}})
    assert place.jobs() == []
    server.objects = {}
    server.answers["GET", "/api/v1/namespaces/lab"] = (403, "{}")
    assert place.jobs() == []


def test_events_of_a_deleted_job_of_the_same_name_give_no_reason(server: ApiServer) -> None:
    old = event("tiny-1", "FailedToCreateRayCluster", "no room for it")
    server.put(ray_job(jobDeploymentStatus="Initializing"), old)
    place = a_place()
    for uid, reason in (("uid-tiny-1", "no room for it."), ("uid-before", "")):
        old["involvedObject"]["uid"] = uid
        seen = place.look("tiny-1")
        assert seen is not None
        assert seen.reason == reason


def test_an_unknown_job_is_none_and_has_no_log(server: ApiServer) -> None:
    place = a_place()
    assert place.look("nothing") is None
    with pytest.raises(LaunchError, match="there is no job nothing"):
        place.logs("nothing")


def test_stopping_deletes_the_job_and_waits_for_its_pods(server: ApiServer) -> None:
    head = in_state({"running": {}}, phase="Running")
    server.put(ray_job(jobDeploymentStatus="Running", jobStatus="RUNNING"), head)

    def leave(now: float) -> None:
        if now > NOW + 3:
            server.objects = {}

    told: list[str] = []
    place = a_place(Clock(leave))
    assert place.stop("tiny-1", 60, told.append).startswith("tiny-1 is stopped.")
    assert told == ["deleted RayJob tiny-1, waiting up to 60 s for its pods"]


def test_a_job_is_stopped_without_the_right_to_see_pods(server: ApiServer) -> None:
    server.put(ray_job(jobDeploymentStatus="Running"))
    server.answers["GET", ".*/pods"] = (403, "{}")
    assert a_place().stop("tiny-1", 60).startswith("tiny-1 is stopped.")


def test_pods_that_take_longer_are_told(server: ApiServer) -> None:
    server.put(ray_job(jobDeploymentStatus="Running"), in_state({"running": {}}))
    assert a_place().stop("tiny-1", 2) == "tiny-1 is deleted; its pods are still ending."


def test_without_an_operator_a_job_does_not_end(server: ApiServer) -> None:
    server.put(ray_job(jobDeploymentStatus="Running"))
    server.answers["DELETE", ".*"] = (200, "{}")
    with pytest.raises(LaunchError, match=r"does not end it\. Is the operator running"):
        a_place().stop("tiny-1", 2)


def test_a_finished_job_is_not_deleted(server: ApiServer) -> None:
    server.put(ray_job(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED"))
    assert a_place().stop("tiny-1", 2) == "tiny-1 is finished: there is nothing to stop."
    assert len(server.holds("RayJob")) == 1


def test_a_quota_that_keeps_pods_away_is_the_reason(server: ApiServer) -> None:
    said = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, '
    server.put(
        ray_job(jobDeploymentStatus="Initializing", rayClusterName="tiny-1-abc"),
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": "tiny-1-abc", "namespace": "lab"},
        },
        event("tiny-1-abc", "FailedToCreateHeadPod", f"{said}limited: pods=9"),
    )
    seen = a_place().look("tiny-1")
    assert seen is not None
    assert "quota 'team' leaves no room: 1 pods asked for, 9 of 9 in use" in seen.reason
