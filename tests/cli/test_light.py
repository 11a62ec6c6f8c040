"""The verbs that must answer at once: they import neither torch nor Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUARD = """\
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "ray", "timm", "torchvision", "pytorch_grad_cam"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Guard())
sys.argv = ["kdray", *sys.argv[1:]]
from kdray.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        "validate jobs/quickstart.yaml",
        "render jobs/quickstart.yaml --to cluster/targets/local.yaml",
        "schema",
        "methods --json",
        "explainers --json",
        "models --json",
        "--help",
    ],
)
def test_a_light_verb_imports_nothing_heavy(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GUARD, *words.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
