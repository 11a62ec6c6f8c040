from __future__ import annotations

import builtins
import socket
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import ConnectTimeoutError, ProtocolError, SSLError

from kdray.errors import LaunchError
from kdray.launch.kube.client import connect, unanswered
from tests.launch.kube.api_server import ApiServer
from tests.launch.kube.given import given_place
from tests.launch.kube.objects import pod, ray_job


def test_the_context_gives_server_and_namespace(server: ApiServer) -> None:
    api = connect(given_place(namespace=None))
    assert (api.context, api.namespace) == ("lab", "lab")
    assert api.server == f"http://127.0.0.1:{server.port}"
    assert api.where == "Kubernetes lab, namespace lab"


def test_the_target_names_another_context_and_namespace(server: ApiServer) -> None:
    api = connect(given_place(context="other", namespace="apart"))
    assert (api.context, api.namespace) == ("other", "apart")


def test_an_unknown_context_is_told_with_the_nearest(server: ApiServer) -> None:
    with pytest.raises(LaunchError, match=r"no context 'othr'. Did you mean 'other'\?"):
        connect(given_place(context="othr"))


def test_without_a_kubeconfig_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(LaunchError, match="there is no kubeconfig at"):
        connect(given_place())


def test_a_kubeconfig_that_is_none_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("kind: Config\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(LaunchError, match=r"no current context\..* There are: none"):
        connect(given_place())


def test_a_missing_client_names_the_extra(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *words: Any) -> Any:
        if name == "kubernetes":
            raise ImportError(name)
        return real(name, *words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LaunchError, match=r"pip install 'kdray\[kubernetes\]'"):
        connect(given_place())


def test_a_missing_object_is_none_and_a_missing_kind_an_error(server: ApiServer) -> None:
    api = connect(given_place())
    assert api.get("RayJob", "x") is None
    server.answers["GET", r"/apis/ray\.io/.*"] = (404, "404 page not found\n")
    with pytest.raises(LaunchError, match=r"does not know RayJob \(ray.io/v1\). Install KubeRay"):
        api.get("RayJob", "x")


def test_a_newer_version_of_a_kind_is_found(server: ApiServer) -> None:
    queue = {"kind": "LocalQueue", "metadata": {"name": "team", "namespace": "lab"}}
    server.put({"apiVersion": "kueue.x-k8s.io/v1beta2", **queue})
    server.answers["GET", "/apis/kueue.x-k8s.io/v1beta1/.*"] = (404, "404 page not found\n")
    api = connect(given_place())
    assert api.get("LocalQueue", "team") is not None
    assert api.get("LocalQueue", "other") is None


def test_what_is_applied_belongs_to_kdray_and_is_checked_strictly(server: ApiServer) -> None:
    connect(given_place()).apply(ray_job("x"))
    (_, path), *_ = server.asked
    assert path.startswith("/apis/ray.io/v1/namespaces/lab/rayjobs/x?")
    assert "fieldManager=kdray" in path
    assert "fieldValidation=Strict" in path
    assert "force" not in path
    assert [each["metadata"]["name"] for each in server.holds("RayJob")] == ["x"]


def test_a_dry_run_makes_nothing(server: ApiServer) -> None:
    connect(given_place()).apply(ray_job("x"), dry_run=True)
    assert server.holds("RayJob") == []


def test_lists_are_by_label(server: ApiServer) -> None:
    server.put(pod("a", job="x"), pod("b", job="y"))
    found = connect(given_place()).list("Pod", labels="app.kubernetes.io/instance=x")
    assert [each["metadata"]["name"] for each in found] == ["a"]


def test_deleting_what_is_gone_is_no_error(server: ApiServer) -> None:
    server.put(ray_job("x"))
    api = connect(given_place())
    assert api.delete("RayJob", "x")
    assert not api.delete("RayJob", "x")


def test_the_token_of_the_kubeconfig_is_sent(server: ApiServer) -> None:
    api = connect(given_place())
    assert api.client.configuration.api_key == {"authorization": "Bearer secret"} or (
        "Bearer secret" in str(api.client.configuration.api_key)
    )


def test_a_server_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("KUBECONFIG", str(ApiServer(port=port).kubeconfig(tmp_path)))
    with pytest.raises(LaunchError, match="does not answer: connection refused") as told:
        connect(given_place()).get("RayJob", "x")
    assert f"http://127.0.0.1:{port}" in told.value.problem


def test_a_page_to_log_in_is_no_api_server(server: ApiServer) -> None:
    server.answers["GET", ".*"] = (200, "<html>\n<title>Sign in</title>")
    with pytest.raises(LaunchError, match=r"no API server of Kubernetes: '<html> <title>Sign in"):
        connect(given_place()).get("RayJob", "x")


def test_https_where_only_http_is_spoken_is_told(server: ApiServer, tmp_path: Path) -> None:
    path = server.kubeconfig(tmp_path)
    path.write_text(path.read_text().replace("http://", "https://"))
    with pytest.raises(LaunchError, match="does not speak HTTPS"):
        connect(given_place()).get("RayJob", "x")


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (
            SSLError(
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
                "certificate in certificate chain (_ssl.c:1006)"
            ),
            "the certificate of https://x is not accepted: self-signed certificate in "
            "certificate chain.",
        ),
        (
            ProtocolError("Connection aborted.", ConnectionResetError(104, "reset by peer")),
            "the API server https://x does not answer: the connection was lost.",
        ),
        (
            ConnectTimeoutError(None, "Connection to x timed out. (connect timeout=10.0)"),
            "the API server https://x does not answer: timed out.",
        ),
    ],
)
def test_what_keeps_a_server_from_answering_is_told(cause: Exception, said: str) -> None:
    assert unanswered("https://x", cause)[0] == said
