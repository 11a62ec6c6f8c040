"""The verb `registry`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kdray.cli.main import build
from kdray.errors import JobError, RegistryError
from kdray.registry import Registry, read_package


@pytest.fixture
def uri(tmp_path: Path, make_package: Callable[[int], Path]) -> str:
    """Return a registry with two versions of `brain`, of which the first is the champion."""
    registry = Registry(str(tmp_path / "registry"))
    for seed in (1, 2):
        registry.add("brain", make_package(seed), key=str(seed))
    registry.promote("brain", 1)
    return registry.uri


def run(*words: str | Path) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(
        build(), [str(word) for word in words], standalone_mode=False, catch_exceptions=True
    )
    if result.exception:
        raise result.exception
    return result.output


def test_list_prints_versions_and_aliases(uri: str) -> None:
    facts = json.loads(run("registry", "list", "--registry", uri, "--json"))
    assert facts == [{"name": "brain", "versions": [1, 2], "aliases": {"champion": 1}}]
    assert "champion=1" in run("registry", "list", "--registry", uri)


def test_list_of_an_empty_registry_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "is empty" in run("registry", "list", "--registry", tmp_path)


def test_show_prints_the_lineage(uri: str) -> None:
    shown = run("registry", "show", "brain", "--registry", uri)
    assert "teacher.id" in shown
    assert "resnet18" in shown
    facts = json.loads(run("registry", "show", "brain@2", "--registry", uri, "--json"))
    assert (facts["version"], facts["lineage"]["job"]) == (2, "quickstart")


def test_promote_and_rollback_move_the_alias(uri: str) -> None:
    run("registry", "promote", "brain", "2", "--registry", uri)
    assert Registry(uri).resolve("brain") == 2
    assert "version 1 again" in run("registry", "rollback", "brain", "--registry", uri)
    assert Registry(uri).resolve("brain") == 1


def test_promote_takes_the_newest_version_where_none_is_named(uri: str) -> None:
    assert "champion is version 2" in run("registry", "promote", "brain", "--registry", uri)


@pytest.mark.parametrize("words", [["brain@2"], ["brain", "2"]])
def test_promote_takes_the_version_that_is_named(uri: str, words: list[str]) -> None:
    run("registry", "promote", *words, "--alias", "candidate", "--registry", uri)
    assert Registry(uri).aliases("brain")["candidate"] == 2


def test_promote_of_two_versions_is_refused(uri: str) -> None:
    with pytest.raises(JobError, match="names two versions: 2 and 1"):
        run("registry", "promote", "brain@2", "1", "--registry", uri)


@pytest.fixture
def scored(uri: str, make_package: Callable[[int], Path]) -> str:
    """Return a registry whose third version has scores."""
    folder = make_package(3)
    metrics = {"validation": {"macro_f1": 0.83}, "cost": {"latency_ms": 12.0, "threads": 2}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    Registry(uri).add("brain", folder, key="3")
    return uri


def refused(*words: str) -> str:
    """Return what the command prints, which ends with exit code 1."""
    result = CliRunner().invoke(build(), list(words))
    assert result.exit_code == 1
    return result.output


def test_a_version_that_falls_short_is_not_promoted(scored: str) -> None:
    words = ("registry", "promote", "brain", "--registry", scored, "--max-latency-ms", "20")
    said = refused(*words, "--min-macro-f1", "0.9")
    assert "failed" in said
    assert "0.83" in said
    assert "passed" in said
    assert "champion stays at version 1." in said
    facts = json.loads(refused(*words, "--min-macro-f1", "0.9", "--json"))
    assert (facts["passed"], facts["moved"], facts["before"]) == (False, False, 1)
    assert [(c["name"], c["measured"], c["passed"]) for c in facts["conditions"]] == [
        ("min_macro_f1", 0.83, False),
        ("max_latency_ms", 12.0, True),
    ]
    assert Registry(scored).resolve("brain") == 1


def test_a_version_that_reaches_what_is_asked_is_promoted(scored: str) -> None:
    words = ("--registry", scored, "--min-macro-f1", "0.8", "--reason", "release 7")
    facts = json.loads(run("registry", "promote", "brain@3", *words, "--json"))
    assert (facts["passed"], facts["moved"]) == (True, True)
    assert Registry(scored).resolve("brain") == 3
    shown = run("registry", "history", "brain", "--registry", scored)
    assert "release 7" in shown
    assert "0.83" in shown
    assert "Moves of champion" in run("registry", "show", "brain", "--registry", scored)


def test_a_dry_run_moves_nothing(scored: str) -> None:
    words = ("--registry", scored, "--min-macro-f1", "0.8", "--dry-run")
    said = run("registry", "promote", "brain", *words)
    assert "champion would be moved; nothing was changed" in said
    assert Registry(scored).resolve("brain") == 1


def test_a_version_without_answers_cannot_beat_the_champion(scored: str) -> None:
    said = refused("registry", "promote", "brain", "--registry", scored, "--beats-champion")
    assert "beats_champion: version 3 keeps no answers to its validation images" in said


def test_a_limit_out_of_range_is_refused(uri: str) -> None:
    with pytest.raises(JobError, match=r"--min-macro-f1: input should be less than or equal to 1"):
        run("registry", "promote", "brain", "--registry", uri, "--min-macro-f1", "80")


def test_rollback_keeps_its_reason(uri: str) -> None:
    run("registry", "promote", "brain", "2", "--registry", uri)
    words = ("--registry", uri, "--reason", "worse on scanner A", "--json")
    assert json.loads(run("registry", "rollback", "brain", *words))["version"] == 1
    moves = json.loads(run("registry", "history", "brain", "--registry", uri, "--json"))
    assert [(move["action"], move["version"]) for move in moves] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
    ]
    assert moves[-1]["reason"] == "worse on scanner A"


def test_an_exported_version_is_added_to_another_registry_once(uri: str, tmp_path: Path) -> None:
    run("registry", "export", "brain@2", tmp_path / "out", "--registry", uri)
    words = ("registry", "add", tmp_path / "out", "--name", "clinic", "--registry", tmp_path / "b")
    assert "is clinic, version 1" in run(*words)
    assert json.loads(run(*words, "--json")) == {"name": "clinic", "version": 1}
    other = Registry(str(tmp_path / "b"))
    assert (other.versions("clinic"), other.aliases("clinic")) == ([1], {})
    kept, original = (
        read_package(r.fetch(n, v))
        for r, n, v in (
            (other, "clinic", 1),
            (Registry(uri), "brain", 2),
        )
    )
    assert kept.weights == original.weights


def test_a_damaged_folder_is_not_added(uri: str, tmp_path: Path) -> None:
    run("registry", "export", "brain@2", tmp_path / "out", "--registry", uri)
    (tmp_path / "out" / "model.safetensors").write_bytes(b"gone")
    with pytest.raises(RegistryError, match="is damaged"):
        run("registry", "add", tmp_path / "out", "--name", "clinic", "--registry", uri)
    with pytest.raises(RegistryError, match="there is no such folder"):
        run("registry", "add", tmp_path / "none", "--name", "clinic", "--registry", uri)
    assert Registry(uri).names() == ["brain"]


def test_show_tells_what_serves_a_version(uri: str) -> None:
    said = run("registry", "show", "brain", "--registry", uri)
    assert "none: it is served by PyTorch" in said


def test_promote_moves_the_alias_that_is_named(uri: str) -> None:
    run("registry", "promote", "brain", "2", "--alias", "candidate", "--registry", uri)
    assert Registry(uri).aliases("brain") == {"candidate": 2, "champion": 1}


def test_export_writes_a_package(uri: str, tmp_path: Path) -> None:
    run("registry", "export", "brain@2", tmp_path / "out", "--registry", uri)
    assert read_package(tmp_path / "out").id == "cnn5"


def test_a_name_that_is_not_there_gives_those_that_are(uri: str) -> None:
    with pytest.raises(RegistryError, match="It has: brain"):
        run("registry", "show", "liver", "--registry", uri)
