"""The command line, called in this process as a shell would call it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdray.cli.main import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Kdray = Callable[..., Answer]


@pytest.fixture
def kdray(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Kdray:
    """Return a function that calls ``kdray`` in an empty folder: words -> code, out, err."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["kdray", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Answer(int(left.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """Return the path of a right job file whose results lie in ``lab``."""
    path = tmp_path / "job.yaml"
    path.write_text(
        "apiVersion: kdray/v1\n"
        "kind: Experiment\n"
        "name: tiny\n"
        "data: {source: phantom, image_size: 16}\n"
        "teachers: [timm/resnet18]\n"
        "students: [timm/mobilenetv3_small_050]\n"
        "methods: []\n"
        "storage: {uri: lab}\n"
    )
    return path
