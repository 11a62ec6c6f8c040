"""The client against a real API server with KubeRay's operator, where ``KUBECONFIG`` names one.

With ``KDRAY_RECORD=FOLDER`` the server's refusals are written there, as ``recorded`` holds them.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.check import kubernetes_checks
from kdray.launch.kube.client import Answer, Api, UnknownKind, connect
from kdray.launch.kube.place import KubernetesPlace
from kdray.launch.place import Order
from tests.launch.kube.given import ROOT, given_order, given_place

pytestmark = pytest.mark.kubernetes

SPEC = (ROOT / "jobs" / "quickstart.yaml").read_text()
#: Seconds for which controllers of the cluster are waited for.
PATIENCE_S = float(os.environ.get("KDRAY_PATIENCE_S", "60"))


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Make a namespace of its own, or skip where no API server answers."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no API server: set KUBECONFIG")
    name = f"kdray-test-{uuid.uuid4().hex[:8]}"
    try:
        api = connect(given_place(namespace=name))
        made = api.ask("POST", api.path("Namespace"), body=named("v1", "Namespace", name))
    except LaunchError as error:
        pytest.skip(f"no API server: {error}")
    assert made.ok, made.body
    # Controllers make it, where they run.
    api.ask("POST", api.path("ServiceAccount"), body=named("v1", "ServiceAccount", "default"))
    yield name
    api.delete("Namespace", name)


@pytest.fixture
def api(namespace: str) -> Api:
    return connect(given_place(namespace=namespace))


@pytest.fixture
def place(namespace: str) -> KubernetesPlace:
    return KubernetesPlace(given_place(namespace=namespace))


def named(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}


def an_order(name: str) -> Order:
    return given_order(id=f"{name}-00000000", job=name, spec=SPEC)


def refused(name: str, answer: Answer) -> Answer:
    """Return an answer, and keep it where answers are recorded."""
    assert not answer.ok
    folder = os.environ.get("KDRAY_RECORD")
    if folder:
        text = json.dumps({"status": answer.status, "body": answer.body}, indent=1)
        (Path(folder) / f"{name}.json").write_text(text + "\n")
    return answer


def until(look: Callable[[], bool]) -> bool:
    """Return whether something comes true while controllers work."""
    end = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def applied(api: Api, manifest: dict[str, Any]) -> Answer:
    path = api.path(manifest["kind"], manifest["metadata"]["name"])
    query = {"fieldManager": "kdray", "fieldValidation": "Strict"}
    content = {"Content-Type": "application/apply-patch+yaml"}
    return api.ask("PATCH", path, query=query, body=manifest, headers=content)


def test_a_job_is_sent_found_and_deleted(place: KubernetesPlace) -> None:
    order = an_order("whole")
    sent = place.submit(order)
    assert (sent.attached, sent.seen.state) == (False, "pending")
    again = place.submit(order)
    assert (again.attached, again.seen.id) == (True, order.id)
    assert [job.id for job in place.jobs()] == [order.id]
    file = next(each for each in place.api.list("ConfigMap") if "job.yaml" in each.get("data", {}))
    assert file["metadata"]["ownerReferences"][0]["name"] == order.id
    assert place.stop(order.id, PATIENCE_S).startswith(f"{order.id} is ")
    assert place.look(order.id) is None


def test_what_no_node_can_hold_is_told(namespace: str) -> None:
    place = KubernetesPlace(given_place(namespace=namespace, head={"gpus": 512}))
    order = an_order("large")
    place.submit(order)

    def is_told() -> bool:
        seen = place.look(order.id)
        return seen is not None and "nvidia.com/gpu" in seen.reason

    told = until(is_told)
    looked_at = any(pod["status"].get("conditions") for pod in place.api.list("Pod"))
    place.stop(order.id, PATIENCE_S)
    if not looked_at:
        pytest.skip("no operator or no scheduler runs there")
    assert told


def test_the_doctor_lets_a_job_through(namespace: str) -> None:
    found = {check.name: check for check in kubernetes_checks(given_place(namespace=namespace))}
    assert found["cluster"].state == "ok"
    assert found["namespace"].state == "ok"
    assert found["KubeRay"].state == "ok"
    assert found["rights"].state == "ok"
    assert found["dry run"].state == "ok", found["dry run"]


def test_an_unknown_field_is_refused(api: Api) -> None:
    job = named("ray.io/v1", "RayJob", "typo", spec={"entryPoint": "x"})
    refused("unknown-field", applied(api, job))
    with pytest.raises(LaunchError, match="does not know the field"):
        api.apply(job)


def test_an_invalid_object_is_refused_with_its_field(api: Api) -> None:
    wrong = named("v1", "ConfigMap", "wrong", data={"a/b": "x"})
    refused("invalid", applied(api, wrong))
    with pytest.raises(LaunchError, match="a/b"):
        api.apply(wrong)


def test_a_missing_namespace_is_named(api: Api) -> None:
    gone = Api(api.client, "kdray-none", api.context)
    refused("no-namespace", applied(gone, named("v1", "ConfigMap", "x")))
    with pytest.raises(LaunchError, match="there is no namespace kdray-none"):
        gone.apply(named("v1", "ConfigMap", "x"))


def test_a_kind_that_is_not_installed_is_named(api: Api) -> None:
    answer = api.ask("GET", "/apis/none.example.org/v1/namespaces/x/things/y")
    assert refused("no-kind", answer).status == 404
    if "kueue.x-k8s.io" not in api.ask("GET", "/apis").body:
        with pytest.raises(UnknownKind, match="Kueue"):
            api.get("LocalQueue", "x")


def test_somebody_without_rights_is_told_which(api: Api) -> None:
    job = named("ray.io/v1", "RayJob", "x", spec={"entrypoint": "x"})
    path = api.path("RayJob", "x")
    content = {"Content-Type": "application/apply-patch+yaml", "Impersonate-User": "nobody"}
    query = {"fieldManager": "kdray"}
    refused("no-rights", api.ask("PATCH", path, query=query, body=job, headers=content))
    api.client.default_headers["Impersonate-User"] = "nobody"
    with pytest.raises(LaunchError, match=r"nobody may not patch rayjobs\.ray\.io in namespace"):
        api.apply(job)


def test_a_quota_is_told_with_its_numbers(api: Api) -> None:
    hard = {"count/configmaps": "0"}
    assert applied(api, named("v1", "ResourceQuota", "none", spec={"hard": hard})).ok
    status = {"status": {"hard": hard, "used": {"count/configmaps": "0"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{api.path('ResourceQuota', 'none')}/status"
    assert api.ask("PATCH", path, body=status, headers=headers).ok
    over = named("v1", "ConfigMap", "over")
    try:
        assert until(lambda: applied(api, over).status == 403)
        refused("quota", applied(api, over))
        with pytest.raises(LaunchError, match="quota 'none' leaves no room: 1 count/configmaps"):
            api.apply(over)
    finally:
        api.delete("ResourceQuota", "none")


def test_a_conflict_with_others_is_told(api: Api) -> None:
    ours = named("v1", "ConfigMap", "shared", data={"a": "ours"})
    query = {"fieldManager": "others", "force": "true"}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    theirs = {**ours, "data": {"a": "theirs"}}
    path = api.path("ConfigMap", "shared")
    assert api.ask("PATCH", path, query=query, body=theirs, headers=headers).ok
    refused("conflict", applied(api, ours))
    with pytest.raises(LaunchError, match=r'conflict with "others"'):
        api.apply(ours)


def test_a_policy_of_the_cluster_is_quoted(api: Api) -> None:
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    name = f"kdray-{uuid.uuid4().hex[:8]}.example.org"
    rules = [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["configmaps"],
        }
    ]
    only = {"matchLabels": {"kubernetes.io/metadata.name": api.namespace}}
    policy = {
        "matchConstraints": {"resourceRules": rules, "namespaceSelector": only},
        "validations": [
            {"expression": "object.metadata.name != 'ownerless'", "message": "an owner is needed"}
        ],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    version = "admissionregistration.k8s.io/v1"
    made = named(version, "ValidatingAdmissionPolicy", name, spec=policy)
    bound = named(version, "ValidatingAdmissionPolicyBinding", name, spec=binding)
    assert api.ask("POST", policies, body=made).ok
    assert api.ask("POST", policies.replace("policies", "policybindings"), body=bound).ok
    ownerless = named("v1", "ConfigMap", "ownerless")
    only_asked = f"{api.path('ConfigMap')}?dryRun=All"
    try:
        assert until(lambda: not api.ask("POST", only_asked, body=ownerless).ok)
        refused("policy", applied(api, ownerless))
        with pytest.raises(LaunchError, match="refuses it: an owner is needed"):
            api.apply(ownerless)
    finally:
        api.ask("DELETE", f"{policies.replace('policies', 'policybindings')}/{name}")
        api.ask("DELETE", f"{policies}/{name}")


def test_a_pod_security_level_is_told(api: Api) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    path = api.path("Namespace", api.namespace)
    assert api.ask("PATCH", path, body=label, headers=headers).ok
    spec = {"containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]}
    answer = api.ask("POST", api.path("Pod"), body=named("v1", "Pod", "open", spec=spec))
    label["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"
    api.ask("PATCH", path, body=label, headers=headers)
    assert "violates PodSecurity" in refused("pod-security", answer).body
