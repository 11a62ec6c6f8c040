"""infra/README.md: its commands name verbs, options and files that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from kdray.cli.main import build

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / "infra" / "README.md", ROOT / "cluster" / "README.md"]
#: Folders whose files the commands name.
OURS = ("infra/", "cluster/", "jobs/")


def commands() -> list[list[str]]:
    """Return the commands of all console blocks, in words."""
    found = []
    for text in TEXTS:
        for block in re.findall(r"```console\n(.*?)```", text.read_text(), re.DOTALL):
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            stripped = [line.strip().removeprefix("$ ") for line in lines if line.strip()]
            found += [shlex.split(line, comments=True) for line in stripped]
    return found


def kdray_commands() -> list[Any]:
    """Return what follows `kdray` where it is the program, behind settings at most."""
    calls = []
    for words in commands():
        bare = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        if bare[:1] == ["kdray"]:
            calls.append(bare[1:])
    return [pytest.param(words, id=" ".join(words[:2])) for words in calls]


def verbs() -> dict[str, Any]:
    found: dict[str, Any] = typer.main.get_command(build()).commands  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("words", kdray_commands())
def test_a_command_is_one_that_kdray_has(words: list[str]) -> None:
    command, rest = verbs()[words[0]], words[1:]
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    used = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert used <= known


def test_the_commands_use_all_that_a_job_needs() -> None:
    used = {param.values[0][0] for param in kdray_commands()}
    assert used >= {"doctor", "plan", "submit", "status", "logs", "stop", "results", "render"}


def test_the_files_that_commands_name_are_there() -> None:
    named = [
        word.rpartition("=")[2]
        for words in commands()
        for word in words
        if word.rpartition("=")[2].startswith(OURS)
    ]
    assert len(named) > 20
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_values_of_the_charts_are_those_that_are_there() -> None:
    used = [words for words in commands() if words[:2] == ["helm", "install"]]
    named = {
        Path(words[words.index("--values") + 1]).name for words in used if "--values" in words
    }
    assert named == {file.name for file in (ROOT / "infra" / "helm").glob("*.yaml")}


def test_queued_jobs_are_those_of_kuberay_in_the_namespace() -> None:
    values = yaml.safe_load((ROOT / "infra" / "helm" / "kueue.yaml").read_text())
    config = yaml.safe_load(values["managerConfig"]["controllerManagerConfigYaml"])
    assert {"ray.io/rayjob", "ray.io/raycluster"} <= set(config["integrations"]["frameworks"])
    operator = yaml.safe_load((ROOT / "infra" / "helm" / "kuberay-operator.yaml").read_text())
    [namespace] = operator["watchNamespace"]
    chosen = config["managedJobsNamespaceSelector"]["matchLabels"]
    assert chosen == {"kubernetes.io/metadata.name": namespace}


def test_the_local_target_is_the_cluster_that_kind_makes() -> None:
    kind = yaml.safe_load((ROOT / "infra" / "kind" / "cluster.yaml").read_text())
    target = yaml.safe_load((ROOT / "cluster" / "targets" / "local.yaml").read_text())
    assert target["place"]["context"] == f"kind-{kind['name']}"
    loaded = [words for words in commands() if words[:2] == ["kind", "load"]]
    assert [words[3] for words in loaded] == [target["place"]["image"]]
