"""The folders of cluster/ as kubectl renders them."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
#: What makes a manifest of it: a folder below cluster/ -> its objects.
Render = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def kustomized() -> Render:
    """Return what renders a folder of cluster/, or skip where kubectl cannot."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed; `make test` tries to")
    if not _has_components():
        pytest.skip("this kubectl is too old: its kustomize knows no components")

    @functools.cache
    def render(folder: str) -> list[dict[str, Any]]:
        command = ["kubectl", "kustomize", str(ROOT / "cluster" / folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr  # deprecations
        return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))

    return render


def _has_components() -> bool:
    """Return whether kubectl holds kustomize 4 or newer, as it has done since kubectl 1.21."""
    said = subprocess.run(
        ["kubectl", "version", "--client", "--output", "json"], capture_output=True, text=True
    )
    found = json.loads(said.stdout) if said.returncode == 0 else {}
    # kubectl before 1.25 does not say; 1.21 to 1.24 hold kustomize 4
    version = found.get("kustomizeVersion") or found["clientVersion"]["gitVersion"]
    major, minor = (int(part) for part in version.lstrip("v").split(".")[:2])
    return major >= 4 or (major == 1 and minor >= 21)
