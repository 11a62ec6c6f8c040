"""The model card says what is known, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kdray.registry import Package, model_card, read_package
from kdray.registry.card import flat, spread

METRICS = {
    "confidence": 0.9,
    "dataset": {"counts": {"train": {"glioma": 7, "no tumor": 9}}, "hash": "d1a7"},
    "summary": {
        "test": {
            "accuracy": {"mean": 0.9125, "low": 0.88, "high": 0.945, "n": 3, "over": "seeds"},
            "auc": None,
        }
    },
    "cost": {"parameters": 12345, "latency_ms": 1.5},
    "against_alone": {"test": {"accuracy": {"mean": 0.02, "low": -0.01, "high": 0.05, "p": 0.12}}},
}


@pytest.fixture
def package(make_package: Callable[..., Path]) -> Package:
    return read_package(make_package())


def test_scores_have_their_interval_and_number_of_seeds(package: Package) -> None:
    card = model_card(package, METRICS)
    assert "| test | accuracy | 0.912 [0.880, 0.945] over 3 seeds |" in card
    assert "90% interval" in card


def test_the_gain_over_the_student_alone_has_its_p_value(package: Package) -> None:
    assert "| test | accuracy | +0.020 [-0.010, +0.050], p = 0.12 |" in model_card(
        package, METRICS
    )


def test_classes_images_costs_and_lineage_are_named(package: Package) -> None:
    card = model_card(package, METRICS)
    assert "glioma, no tumor, pituitary" in card
    assert "| train | 16 | glioma 7, no tumor 9 |" in card
    assert "| parameters | 12,345 |" in card
    assert "| teacher.id | `resnet18` |" in card


def test_it_says_that_it_is_no_medical_device(package: Package) -> None:
    assert "Not a medical device" in model_card(package, {})


def test_without_metrics_it_says_that_no_scores_are_recorded(package: Package) -> None:
    card = model_card(package, {})
    assert "## Scores" not in card
    assert "No scores are recorded" in card


def test_leaks_are_named_where_the_clean_part_was_scored(package: Package) -> None:
    clean = {"summary": METRICS["summary"] | {"test_clean": METRICS["summary"]["test"]}}
    assert "copy in the training split" in model_card(package, clean)
    assert "copy in the training split" not in model_card(package, METRICS)


def test_nested_facts_become_dotted_names() -> None:
    tree = {"a": {"b": 1, "c": [2, 3]}, "d": None, "e": "x"}
    assert list(flat(tree)) == [("a.b", "1"), ("a.c", "2, 3"), ("e", "x")]


def test_a_score_that_is_not_defined_says_so() -> None:
    assert spread({"mean": None}) == "not defined"
