from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdray.measure import DEFINITIONS, Definition, Removal, map_agreement, map_scores, stability

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanations.md"
BETTER = {"low": "lower", "high": "higher", "": "-"}


def row(item: Definition) -> str:
    cells = (item.title, f"`{item.name}`", item.text, BETTER[item.better], item.source)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_page_defines_a_score_as_the_table_does(name: str) -> None:
    assert row(DEFINITIONS[name]) in PAGE.read_text(encoding="utf-8").splitlines()


def test_everything_that_is_computed_is_defined() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    maps = images[..., 0] / 255
    found = map_scores(
        lambda batch: np.full((len(batch), 2), 0.5), images, maps, np.array([0, 1]), maps > 0.5
    )
    computed = {
        **found.values,
        **map_agreement(maps, maps),
        **stability(lambda x: x[..., 0], images),
    }
    assert not set(computed) - set(DEFINITIONS)


def test_what_the_table_says_of_the_settings_holds() -> None:
    settings = Removal()
    assert (settings.steps, settings.colour, settings.blur) == (20, None, 0.1)
    assert "20 equal shares" in DEFINITIONS["deletion_auc"].text
    assert "a tenth of its side" in DEFINITIONS["insertion_auc"].text


def test_no_score_is_called_fidelity_alone() -> None:
    titles = [item.title.lower() for item in DEFINITIONS.values()]
    assert "fidelity" not in [*DEFINITIONS, *titles]
    numbered = [title[-3:-1] for title in titles if title.endswith(")") and title[-4:-2] == "(f"]
    assert sorted(numbered) == ["f1", "f2", "f3", "f4", "f5", "f6"]


def test_every_title_is_its_own() -> None:
    titles = [item.title for item in DEFINITIONS.values()]
    assert len(set(titles)) == len(titles)
