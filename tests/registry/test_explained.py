"""What a model's package keeps of its explanations, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from kdray.cli.main import build
from kdray.measure import DEFINITIONS
from kdray.registry import Registry, model_card, read_package
from kdray.registry.explained import (
    AGREEMENT,
    SCORES,
    agreement_table,
    of_model,
    score_table,
    verdicts,
)


def over(mean: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"mean": mean, "low": low, "high": high, "n": 16, "over": "images"}


def row(method: str, label: str, deletion: float | None) -> dict[str, Any]:
    costs = {"degenerate": 2, "maps": 48, "met_forwards": 1.13}
    measures = {"deletion_auc": over(deletion, 0.1, 0.3), "insertion_auc": over(0.75)}
    return {"method": method, "label": label, "measures": measures, **costs}


RESULTS = {
    "scored": {"images": 16, "split": "test", "grid": 56},
    "scores": [
        row("gradcam", "small (kd)", 0.2),
        row("random", "small (kd)", 0.4),
        row("gradcam", "big", 0.15),
    ],
    "agreement": [
        {
            "method": "gradcam",
            "label": "small (kd)",
            "teacher": "big",
            "all": {"pearson": over(0.61, 0.5, 0.7), "chance_pearson": over(0.32)},
        }
    ],
    "sanity": [
        {
            "method": "gradcam",
            "label": "small (kd)",
            "verdict": "passed",
            "stability": over(0.97),
        },
        {"method": "gradcam", "label": "big", "verdict": "failed"},
    ],
}


def test_a_package_keeps_the_rows_of_its_own_model_and_the_map_of_chance() -> None:
    kept = of_model(RESULTS, "small (kd)")
    assert [item["method"] for item in kept["scores"]] == ["gradcam", "random"]
    assert [len(kept[kind]) for kind in ("agreement", "sanity")] == [1, 1]
    assert kept["scored"]["images"] == 16
    assert of_model(RESULTS, "big")["agreement"] == []


def test_results_of_earlier_versions_have_nothing_to_keep() -> None:
    assert of_model({"measures": [], "agreement": {}}, "small (kd)") == {}
    assert of_model(RESULTS, "another") == {}


def test_scores_stand_with_their_interval_the_blank_maps_and_the_time() -> None:
    head, rows = score_table(of_model(RESULTS, "small (kd)"))
    assert head == ["score", "gradcam", "random"]
    assert [row[:2] for row in rows] == [
        ["Deletion AUC (low)", "0.200 [0.100, 0.300]"],
        ["Insertion AUC (high)", "0.750"],
        ["blank maps", "2 of 48"],
        ["time / forward pass", "1.13"],
    ]


def test_a_score_that_is_not_defined_is_a_dash() -> None:
    rows = [row("gradcam", "m", 0.2), row("rollout", "m", None)]
    assert score_table({"scores": rows})[1][0][2] == "-"


def test_agreement_stands_beside_its_chance_level() -> None:
    head, rows = agreement_table(RESULTS)
    assert head[2] == "Pearson (chance)"
    assert rows == [["gradcam", "big", "0.610 [0.500, 0.700] (0.320)", "-", "-"]]


def test_the_verdict_of_the_sanity_check_stands_with_the_stability() -> None:
    found = dict(verdicts(of_model(RESULTS, "small (kd)")))
    assert found["gradcam"].startswith("passed; Pearson 0.970")


def test_tables_call_scores_as_their_definitions_do() -> None:
    for name, title in SCORES.items():
        assert title == f"{DEFINITIONS[name].title} ({DEFINITIONS[name].better})"
    assert AGREEMENT == {name: DEFINITIONS[name].title for name in AGREEMENT}


def test_nothing_scored_gives_no_table() -> None:
    assert score_table({}) == agreement_table({}) == ([], [])
    assert not list(verdicts({}))


def test_the_model_card_has_a_section_of_explanations(make_package: Callable[..., Path]) -> None:
    package = read_package(make_package())
    card = model_card(package, {"explanations": of_model(RESULTS, "small (kd)")})
    assert "| Deletion AUC (low) | 0.200 [0.100, 0.300] | 0.400 [0.100, 0.300] |" in card
    assert "Mean over 16 images of the test split" in card
    assert "## Explanations" not in model_card(package, {})


def test_registry_show_prints_the_scores_of_explanations(
    make_package: Callable[..., Path], tmp_path: Path
) -> None:
    folder, uri = make_package(), str(tmp_path / "registry")
    cost = {"parameters": 12345, "device": "cpu"}
    kept = {"explanations": of_model(RESULTS, "small (kd)"), "cost": cost}
    (folder / "metrics.json").write_text(json.dumps(kept))
    Registry(uri).add("brain", folder, key="1")
    words = ["registry", "show", "brain@1", "--registry", uri]
    shown = CliRunner().invoke(build(), words, env={"COLUMNS": "200"}).output
    assert "Deletion AUC (low)" in shown
    assert "0.610 [0.500, 0.700] (0.320)" in shown
    assert "passed" in shown
    assert "12,345" in shown
