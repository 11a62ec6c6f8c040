from __future__ import annotations

from typing import Any

from kdray.launch.kube.service import service_ready_since, service_reason, service_state
from kdray.launch.kube.trouble import Facts
from tests.launch.kube.objects import MADE, NOW, in_state, ray_job


def service(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    made = ray_job("web")
    made |= {"kind": "RayService", "spec": {}}
    return {**made, "status": {"conditions": list(conditions), **status}}


READY = {"type": "Ready", "status": "True", "lastTransitionTime": MADE}
WAITING = {"type": "Ready", "status": "False", "reason": "Initializing", "message": "No endpoint."}


def test_a_service_runs_when_it_is_ready() -> None:
    assert service_state(service(READY)) == "running"
    assert service_ready_since(service(READY)) == NOW
    assert service_state(service(WAITING)) == "pending"
    assert service_ready_since(service(WAITING)) is None


def test_a_service_that_kuberay_refuses_has_failed() -> None:
    refused = {**WAITING, "reason": "ValidationFailed", "message": "bad name"}
    assert service_state(service(refused)) == "failed"
    said = service_reason(Facts(service(refused), NOW))
    assert said == "KubeRay's operator refuses the service: bad name."


def test_an_application_that_fails_is_quoted() -> None:
    bad = {"kdray": {"status": "DEPLOY_FAILED", "message": "no version 3\nof lesions"}}
    waiting = service(WAITING, pendingServiceStatus={"applicationStatuses": bad})
    assert service_reason(Facts(waiting, NOW)) == (
        "The application kdray is DEPLOY_FAILED: no version 3 of lesions."
    )


def test_pods_in_trouble_come_first() -> None:
    never = in_state({"waiting": {"reason": "ErrImageNeverPull"}})
    assert service_reason(Facts(service(WAITING), NOW, pods=(never,))).startswith("The head pod: ")


def test_else_the_operators_words_are_told() -> None:
    assert service_reason(Facts(service(WAITING), NOW)) == "No endpoint."
    assert service_reason(Facts(service(READY), NOW)) == ""
