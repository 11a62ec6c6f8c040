"""What is told of kubeconfigs that users have."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.client import connect
from tests.launch.kube.api_server import ApiServer
from tests.launch.kube.given import given_place

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], Path]:
    """Return what writes a changed kubeconfig and names it in ``KUBECONFIG``."""

    def write(change: Change) -> Path:
        path = ApiServer(port=1).kubeconfig(tmp_path)
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))
        monkeypatch.setenv("KUBECONFIG", str(path))
        return path

    return write


def test_a_named_context_needs_no_current_one(kubeconfig: Callable[[Change], Path]) -> None:
    kubeconfig(lambda tree: tree.pop("current-context"))
    assert connect(given_place(context="other")).context == "other"


@pytest.mark.parametrize("current", ["", None])
def test_without_a_current_context_those_that_are_there_are_named(
    kubeconfig: Callable[[Change], Path], current: str | None
) -> None:
    kubeconfig(lambda tree: tree.update({"current-context": current}))
    with pytest.raises(LaunchError, match=r"no current context.*There are: lab, other\."):
        connect(given_place())


def test_a_current_context_that_is_gone_is_named(kubeconfig: Callable[[Change], Path]) -> None:
    kubeconfig(lambda tree: tree.update({"current-context": "gone"}))
    with pytest.raises(LaunchError, match=r"no context 'gone'\. There are: lab, other\."):
        connect(given_place())


@pytest.mark.parametrize("text", ["a: [b\n c: }", "- a\n- b\n", "contexts: 3\n", ""])
def test_a_file_of_another_form_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(LaunchError, match=r"config: .* Log in to the cluster") as told:
        connect(given_place())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-program"], "No such file or directory: 'no-such-program'"),
        (["sh", "-c", "echo your session has ended >&2; exit 1"], "your session has ended"),
    ],
)
def test_a_login_program_that_fails_is_told_in_its_words(
    kubeconfig: Callable[[Change], Path],
    caplog: pytest.LogCaptureFixture,
    words: list[str],
    said: str,
) -> None:
    version = "client.authentication.k8s.io/v1"
    login = {"apiVersion": version, "command": words[0], "args": words[1:]}
    kubeconfig(lambda tree: tree["users"][0].update(user={"exec": login}))
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(
        LaunchError, match=r"context lab: its login gives no credentials: "
    ) as told:
        connect(given_place())
    assert said in told.value.problem
    assert told.value.remedy.startswith("Log in to the cluster again")
    assert logging.getLogger().handlers == handlers


def test_a_server_without_a_scheme_is_told(kubeconfig: Callable[[Change], Path]) -> None:
    kubeconfig(lambda tree: tree["clusters"][0]["cluster"].update(server="cluster:6443"))
    with pytest.raises(LaunchError, match="its server 'cluster:6443' is no address such as"):
        connect(given_place())
