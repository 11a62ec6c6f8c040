"""A whole job that a process does in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tiny_job(tmp_path: Path) -> dict[str, Any]:
    """Return a job of one teacher and one student, without a search."""
    model = {"name": "cnn5", "params": {"widths": [4] * 5}}
    small = {"name": "cnn5", "params": {"widths": [2] * 5}}
    source = {"name": "phantom", "params": {"num_images": 60, "size": 32}}
    return {
        "apiVersion": "kdray/v1",
        "kind": "Experiment",
        "name": "tiny",
        "data": {"source": source, "image_size": 32, "channels": 1},
        "teachers": [{"id": "big", "model": model}],
        "students": [{"id": "small", "model": small}],
        "methods": ["none", "kd"],
        "train": {"teacher": {"epochs": 1}, "student": {"epochs": 3}},
        "knowledge": {"views": 2},
        "search": {"trials": 0},
        "evaluate": {"seeds": 1, "latency_repeats": 1},
        "explain": {"methods": ["featuremaps"], "images": 1, "scored": 0},
        "promote": {"registry": str(tmp_path / "registry")},
        "storage": {"uri": str(tmp_path / "runs")},
    }
