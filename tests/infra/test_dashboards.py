"""What holds for every dashboard of Grafana."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FILES = sorted((Path(__file__).resolve().parents[2] / "infra" / "grafana").glob("*.json"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def panels(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Return the panels of a dashboard."""
    return list(json.loads(request.param.read_text())["panels"])


def test_panels_do_not_lie_over_one_another(panels: list[dict[str, Any]]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_have_numbers_of_their_own(panels: list[dict[str, Any]]) -> None:
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
