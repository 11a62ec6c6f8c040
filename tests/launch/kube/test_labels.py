"""What every object of a job carries."""

from __future__ import annotations

import hashlib

from kdray.launch.kube.labels import metadata, spec_sha256
from tests.launch.kube.given import SPEC, given_order, given_place


def test_an_object_is_found_by_its_job_its_part_and_who_made_it() -> None:
    labels = metadata("x", given_order(), given_place(), "spec")["labels"]
    assert labels == {
        "app.kubernetes.io/name": "kdray",
        "app.kubernetes.io/instance": "lesions-0123abcd",
        "app.kubernetes.io/component": "spec",
        "app.kubernetes.io/part-of": "kdray",
        "app.kubernetes.io/managed-by": "kdray",
    }


def test_what_was_sent_is_known_by_its_hash() -> None:
    assert spec_sha256(given_order()) == hashlib.sha256(SPEC.encode()).hexdigest()


def test_an_object_goes_into_the_targets_namespace() -> None:
    assert metadata("x", given_order(), given_place(), "spec")["namespace"] == "lab"
    nowhere = given_place(namespace=None)
    assert "namespace" not in metadata("x", given_order(), nowhere, "spec")
