"""The verb `registry`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kdray.cli.main import build
from kdray.errors import RegistryError
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


def test_promote_moves_the_alias_that_is_named(uri: str) -> None:
    run("registry", "promote", "brain", "2", "--alias", "candidate", "--registry", uri)
    assert Registry(uri).aliases("brain") == {"candidate": 2, "champion": 1}


def test_export_writes_a_package(uri: str, tmp_path: Path) -> None:
    run("registry", "export", "brain@2", tmp_path / "out", "--registry", uri)
    assert read_package(tmp_path / "out").id == "cnn5"


def test_a_name_that_is_not_there_gives_those_that_are(uri: str) -> None:
    with pytest.raises(RegistryError, match="It has: brain"):
        run("registry", "show", "liver", "--registry", uri)
