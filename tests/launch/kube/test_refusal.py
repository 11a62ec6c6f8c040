from __future__ import annotations

import json

import pytest

from kdray.launch.kube.refusal import is_kind_unknown, meaning, refusal


def status(message: str, code: int = 403, **details: str) -> str:
    return json.dumps({"kind": "Status", "message": message, "code": code, "details": details})


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (
            'pods "x" is forbidden: exceeded quota: team, requested: cpu=4,memory=8Gi, '
            "used: cpu=6,memory=8Gi, limited: cpu=8,memory=32Gi",
            "the namespace's quota 'team' leaves no room: 4 cpu asked for, 6 of 8 in use; "
            "8Gi memory asked for, 8Gi of 32Gi in use",
        ),
        (
            'admission webhook "vrayjob.kb.io" denied the request: no jobs on Fridays.',
            "the cluster's admission webhook vrayjob.kb.io refuses it: no jobs on Fridays",
        ),
        (
            "rayjobs.ray.io \"x\" is forbidden: ValidatingAdmissionPolicy 'owners' with binding "
            "'all' denied request: an owner is needed",
            "the cluster's admission policy owners refuses it: an owner is needed",
        ),
        (
            'Internal error occurred: failed calling webhook "v.kb.io": failed to call webhook: '
            'Post "https://v": connection refused',
            "the cluster's admission webhook v.kb.io does not answer",
        ),
        (
            'rayjobs.ray.io "x" is forbidden: User "alice" cannot patch resource "rayjobs" in '
            'API group "ray.io" in the namespace "lab"',
            "alice may not patch rayjobs.ray.io in namespace lab",
        ),
        (
            'rayjobs.ray.io is forbidden: User "system:anonymous" cannot list resource "rayjobs" '
            'in API group "ray.io" in the namespace "lab"',
            "you are not logged in there",
        ),
        (
            "Client sent an HTTP request to an HTTPS server.",
            "its address begins with http:// and has to with https://",
        ),
        (
            'pods is forbidden: User "alice" cannot list resource "pods" in API group "" at the '
            "cluster scope",
            "alice may not list pods",
        ),
        ('namespaces "lab" not found', "there is no namespace lab"),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != '
            "true (pod must not run as root)",
            "the namespace's Pod Security level restricted:latest refuses the pods: "
            "runAsNonRoot != true (pod must not run as root)",
        ),
        (
            'pods "x" is forbidden: error looking up service account lab/bot: serviceaccount '
            '"bot" not found',
            "there is no service account bot",
        ),
        (
            'pods "x" is forbidden: no PriorityClass with name high was found',
            "there is no PriorityClass high",
        ),
        (
            'pods "x" is forbidden: [maximum cpu usage per Container is 2, but limit is 4]',
            "the namespace's LimitRange refuses the pods: maximum cpu usage per Container is 2, "
            "but limit is 4",
        ),
        (
            "failed to create typed patch object (lab/x; ray.io/v1, Kind=RayJob): .spec.colour: "
            "field not declared in schema",
            "the cluster does not know the field spec.colour",
        ),
        (
            'strict decoding error: unknown field "spec.colour"',
            "the cluster does not know the field spec.colour",
        ),
        (
            'pods "x" is forbidden: minimum memory usage per Pod is 1Gi.  No limit is specified',
            "the namespace's LimitRange refuses the pods: minimum memory usage per Pod is 1Gi. "
            "No limit is specified",
        ),
        (
            'Apply failed with 1 conflict: conflict with "kubectl" using ray.io/v1: .spec.suspend',
            'others have set fields of it: conflict with "kubectl" using ray.io/v1: .spec.suspend',
        ),
    ],
)
def test_refusals_are_told_in_words(message: str, problem: str) -> None:
    found = meaning(message)
    assert found is not None
    assert found[0] == problem
    assert found[1].endswith(".")


def test_what_is_no_refusal_has_no_meaning() -> None:
    assert meaning("Started container ray-head") is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, "does not accept your credentials"),
        (403, "it is forbidden: because"),
        (422, "refuses it: because"),
        (429, "too much to do"),
        (503, "not ready: because"),
    ],
)
def test_other_refusals_say_what_the_server_said(code: int, words: str) -> None:
    error = refusal("there", "apply RayJob x", code, status("because", code))
    assert str(error).startswith("there: cannot apply RayJob x: ")
    assert words in error.problem


def test_an_answer_that_is_no_json_is_quoted() -> None:
    assert "bad gateway" in refusal("there", "read", 502, "bad gateway\n").problem


def test_a_missing_kind_is_not_a_missing_object() -> None:
    assert is_kind_unknown(404, "404 page not found\n")
    assert is_kind_unknown(404, status("the server could not find the requested resource", 404))
    assert not is_kind_unknown(404, status('rayjobs "x" not found', 404, name="x"))
    assert not is_kind_unknown(403, "404 page not found\n")
