"""Targets of Kubernetes that no pod could follow are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kdray.spec.target import Kubernetes, RayCluster


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"head": {"memory": "100Mi"}}, "memory 100Mi is too little"),
        ({"head": {"memory": "4Gi", "shm": "4Gi"}}, "less than memory 4Gi"),
        ({"head": {"memory": "4Gi", "shm": "50Mi"}}, "96Mi at least"),
        ({"head": {"tolerations": [{"value": "x"}]}}, "a value needs its key"),
        ({"head": {"node_selector": {"two words": "x"}}}, "pattern"),
        ({"spot_selector": {"pool": "no value!"}}, "pattern"),
        ({"head": {"gpu_resource": "nvidia.com/"}}, "pattern"),
        ({"image": "kdray: latest"}, "pattern"),
        ({"environment": {"AWS_SECRET_ACCESS_KEY": "x"}}, "looks like a secret"),
        ({"environment": {"DB_PASSWORD": "x"}}, "looks like a secret"),
        ({"environment": {"token": "x"}}, "looks like a secret"),
        ({"environment": {"MINIO_SECRET_KEY": "x"}}, "looks like a secret"),
        ({"environment": {"HTTPS_PROXY": "http://me:word@proxy:8080"}}, "looks like a secret"),
        ({"groups": [{"name": "headgroup"}]}, "what Ray calls the head's"),
        ({"environment": {"RAY_JOB_STOP_WAIT_TIME_S": 60}}, "is set by kdray"),
        ({"environment": {"RAY_AUTH_MODE": "disabled"}}, "is set by kdray"),
        (
            {"secret_environment": {"RAY_AUTH_TOKEN": {"secret": "s", "key": "k"}}},
            "RAY_AUTH_TOKEN is set by kdray",
        ),
        ({"volumes": [{"claim": "a", "path": "/tmp/"}]}, "/tmp is taken"),
        # Above the home folder, the image's Python, the job file, a service's keys.
        ({"volumes": [{"claim": "a", "path": "/home"}]}, "/home is taken"),
        ({"volumes": [{"claim": "a", "path": "/opt"}]}, "/opt is taken"),
        ({"volumes": [{"claim": "a", "path": "/etc/kdray"}]}, "/etc/kdray is taken"),
        ({"volumes": [{"claim": "a", "path": "/etc/kdray/keys"}]}, "/etc/kdray/keys is taken"),
        ({"volumes": [{"claim": "a", "path": "/data/../tmp"}]}, "is taken"),
        (
            {"volumes": [{"claim": "a", "path": "/d"}, {"claim": "b", "path": "/d/"}]},
            "/d is taken",
        ),
        (
            {"environment": {"A": "1"}, "secret_environment": {"A": {"secret": "s", "key": "k"}}},
            "A is both",
        ),
    ],
)
def test_a_target_that_pods_cannot_follow_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Kubernetes.model_validate({"kind": "kubernetes", **fields})


def test_a_secret_in_the_environment_of_a_ray_cluster_is_refused() -> None:
    with pytest.raises(ValidationError, match="AWS_SECRET_ACCESS_KEY looks like a secret"):
        RayCluster.model_validate({"kind": "ray", "environment": {"AWS_SECRET_ACCESS_KEY": "x"}})


def test_an_address_without_a_password_is_no_secret() -> None:
    given = {"AWS_ENDPOINT_URL": "http://minio:9000", "ODD": "http://[", "HTTP_PROXY": "http://p"}
    assert Kubernetes.model_validate({"kind": "kubernetes", "environment": given})


@pytest.mark.parametrize("name", ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID", "MONKEY"])
def test_a_variable_that_only_sounds_like_a_secret_is_taken(name: str) -> None:
    place = Kubernetes.model_validate({"kind": "kubernetes", "environment": {name: "x"}})
    assert place.environment == {name: "x"}


def test_names_of_kubernetes_may_have_dots_and_begin_with_digits() -> None:
    # As cert-manager and accounts of clouds name them.
    key = {"secret": "keys.example.org-tls", "key": "tls.crt"}
    route = {"kind": "ingress", "host": "a.org", "tls_secret": "a.org-tls"}
    assert Kubernetes.model_validate(
        {
            "kind": "kubernetes",
            "namespace": "1ward",
            "service_account": "robot.example.org",
            "secret_environment": {"X_TOKEN": key},
            "volumes": [{"claim": "nfs.images", "path": "/data"}],
            "serving": {"route": route, "allow_from": ["2edge"]},
        }
    )


@pytest.mark.parametrize("name", ["Keys", "keys.", ".keys", "a..b", "a_b", "a" * 254])
def test_what_is_no_name_of_kubernetes_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"pull_secrets"):
        Kubernetes.model_validate({"kind": "kubernetes", "pull_secrets": [name]})
