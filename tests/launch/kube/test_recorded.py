"""What is told of answers that a real API server and KubeRay's operator (1.34.4, 1.6.0) gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdray.launch.kube.refusal import is_kind_unknown, refusal
from kdray.launch.kube.trouble import Facts, reason, since, state

RECORDED = Path(__file__).parent / "recorded"

JOBS = {
    "no-service-account": "Its pods cannot be made: there is no service account default.",
    "pod-pull": "The head pod: the image kdray:latest cannot be pulled: the registry has no such",
    "pod-createerror": "The head pod: there is no Secret kdray-s3: make it, or mend the target.",
    "pod-badimage": "The head pod: the image's name 'kdray:latest' is not one",
    "head-oom-replaced": "The head was killed because it used more than its memory",
}

REFUSALS = {
    "conflict": 'others have set fields of it: conflict with "others"',
    "invalid": "the cluster refuses it: ",
    "no-namespace": "there is no namespace kdray-none",
    "no-rights": "nobody may not patch rayjobs.ray.io in namespace",
    "pod-security": "Pod Security level restricted:latest refuses the pods: ",
    "policy": "refuses it: an owner is needed",
    "quota": "the namespace's quota 'none' leaves no room: 1 count/configmaps asked for, ",
    "unknown-field": "the cluster does not know the field spec.entryPoint",
}


def read(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


@pytest.mark.parametrize(("name", "said"), JOBS.items())
def test_a_job_that_waited_says_why(name: str, said: str) -> None:
    found = read(name)
    facts = Facts(
        found["job"],
        (since(found["job"]["metadata"]["creationTimestamp"]) or 0) + 60,
        tuple(found["clusters"]),
        tuple(found["pods"]),
        tuple(found["events"]),
    )
    assert state(found["job"]) == "pending"
    assert reason(facts).startswith(said)


@pytest.mark.parametrize(("name", "said"), REFUSALS.items())
def test_a_refusal_is_told_in_words(name: str, said: str) -> None:
    answer = read(f"refusals/{name}")
    assert said in refusal("there", "apply X", answer["status"], answer["body"]).problem


def test_a_kind_that_was_not_installed_is_known_by_the_answer() -> None:
    answer = read("refusals/no-kind")
    assert is_kind_unknown(answer["status"], answer["body"])


def test_every_recorded_answer_is_told() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == set(JOBS)
    refusals = {path.stem for path in (RECORDED / "refusals").glob("*.json")}
    assert refusals == {*REFUSALS, "no-kind"}
