from __future__ import annotations

import copy
from typing import Any

import pytest

from kdray.report import compare
from kdray.report.published import measured, published_tables, summary
from kdray.spec import Suite
from kdray.spec.suite import Selector

SUITE: dict[str, Any] = {
    "apiVersion": "kdray/v1",
    "kind": "Suite",
    "name": "few",
    "base": {
        "data": {"source": "phantom"},
        "teachers": [{"id": "t", "model": "cnn5"}],
        "students": [{"id": "s", "model": "cnn5"}],
    },
    "experiments": [{"name": "a"}, {"name": "b"}],
    "tables": [
        {
            "title": "Few",
            "source": "Nobody, Table 1",
            "columns": [
                {"title": "A", "experiment": "a", "unit": "%"},
                {"title": "size", "experiment": "a", "metric": "parameters", "unit": "M"},
                {"title": "B", "experiment": "b", "unit": "%"},
            ],
            "rows": [
                {"title": "alone", "student": "s", "method": "none", "published": [76.5, 4.2, 82]},
                {"title": "kd", "student": "s", "method": "kd", "published": [92.95, None, 95.1]},
            ],
        }
    ],
    "figures": [{"title": "maps", "source": "Nobody, Fig. 2", "experiment": "a"}],
}


def scores(accuracy: float, precision: float = 0.5) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "loss": 1.0,
        "auc": 0.9,
        "macro_precision": 0.6,
        "weighted_precision": 0.7,
        "per_class": {
            "x": {"precision": precision, "auc": 0.8, "support": 3},
            "y": {"precision": 0.2, "auc": 0.7, "support": 5},
        },
    }


def model(method: str | None, *runs: dict[str, Any], teacher: str | None = None) -> dict[str, Any]:
    role = "student" if method else "teacher"
    return {
        "label": f"{method}",
        "role": role,
        "model": "s" if method else "t",
        "teacher": teacher,
        "method": method,
        "runs": [{"scores": {"test": run}} for run in runs],
        "summary": {"test": {"accuracy": {"mean": 0.5, "std": 0.1, "low": 0.4, "high": 0.6,
                                          "n": 8, "over": "images"}}},
        "cost": {"parameters": 2_345_678, "latency_ms": 12.0},
    }  # fmt: skip


def over_images(mean: float) -> dict[str, Any]:
    ends = {"low": mean - 0.1, "high": mean + 0.1}
    return {"mean": mean, "std": 0.2, **ends, "n": 16, "over": "images", "seeds": None}


RESULTS: dict[str, Any] = {
    "confidence": 0.95,
    "models": [
        model(None, scores(0.99)),
        model("none", scores(0.5)),
        model("kd", scores(0.80), scores(0.90), teacher="t"),
    ],
    "explanations": {
        "figure": "steps/explain/x/explanations.png",
        "scores": [
            {"method": "gradcam", "label": "kd", "runs": 2, "forwards": 1.0,
             "met_ms": over_images(7.0), "measures": {"deletion_auc": over_images(0.3)
              | {"seeds": {"mean": 0.31, "std": 0.1, "low": 0.2, "high": 0.4, "n": 2,
                           "over": "seeds"}}}},
            {"method": "gradcam", "label": "None", "runs": 1, "forwards": 1.0,
             "met_ms": over_images(70.0), "measures": {"deletion_auc": over_images(0.2)}},
        ],
        "agreement": [
            {"method": "gradcam", "label": "kd", "teacher": "t", "all": {
                "pearson": over_images(0.6)}, "classes": {"x": {"pearson": over_images(0.5)}}}
        ],
        "sanity": [{"method": "gradcam", "label": "kd", "stability": over_images(0.9)}],
    },
}  # fmt: skip


def one(**chosen: Any) -> dict[str, Any] | None:
    return measured(RESULTS, Selector(**chosen))


def test_a_cell_holds_the_measured_number_in_the_unit_of_its_column() -> None:
    compared = compare(Suite.model_validate(SUITE), {"a": RESULTS})
    alone, kd = compared["tables"][0]["rows"]
    assert alone["cells"][0]["measured"]["mean"] == pytest.approx(50.0)
    assert alone["cells"][1]["measured"]["mean"] == pytest.approx(2.345678)
    assert kd["cells"][0]["measured"]["mean"] == pytest.approx(85.0)
    assert kd["cells"][0]["published"] == 92.95


def test_over_seeds_the_interval_is_student_t() -> None:
    found = one(student="s", method="kd")
    assert found is not None
    assert found["n"] == 2
    # half width: t(0.975, 1) = 12.706, standard deviation 0.0707, over the root of 2
    assert found["high"] - found["mean"] == pytest.approx(12.7062 * 0.0707107 / 2**0.5, rel=1e-4)


def test_what_has_not_been_run_is_said_cell_by_cell() -> None:
    compared = compare(Suite.model_validate(SUITE), {"a": RESULTS})
    cells = [row["cells"][2] for row in compared["tables"][0]["rows"]]
    assert {(cell["measured"], cell["state"], cell["job"]) for cell in cells} == {
        (None, "not run", "few.b")
    }
    assert compared["counts"] == {"cells": 5, "measured": 3}
    assert list(summary(compared)) == [
        "3 of 5 published numbers are measured.",
        "Not run yet: b.",
        "Nobody, Fig. 2, maps: steps/explain/x/explanations.png",
    ]


def test_published_and_measured_stand_in_one_cell_with_the_printed_decimals() -> None:
    (table,) = published_tables(compare(Suite.model_validate(SUITE), {"a": RESULTS}))
    shown = [[cell.text for cell in row] for row in table.rows]
    assert shown[0] == [
        "alone",
        "76.50 | 50.00 [40.00, 60.00]*",
        "4.2 | 2.35",
        "82.0 | not run",
    ]
    assert shown[1][1].startswith("92.95 | 85.00 ± 7.07 [")
    assert shown[1][2] == "- | 2.35"
    assert [column.title for column in table.columns] == ["", "A (%)", "size (M)", "B (%)"]


def test_scores_of_classes_and_their_means_are_found() -> None:
    def mean(**chosen: Any) -> float | None:
        found = one(student="s", method="none", **chosen)
        return None if found is None else found["mean"]

    assert mean(metric="precision", of="x") == 0.5
    assert mean(metric="precision", of="macro") == mean(metric="precision") == 0.6
    assert mean(metric="precision", of="weighted") == 0.7
    assert mean(metric="auc") == 0.9
    assert mean(metric="auc", of="y") == 0.7
    assert mean(metric="support", of="y") == 5
    assert mean(metric="support") == 8
    assert mean(metric="precision", of="zebra") is None
    assert mean(metric="recall") is None
    assert mean(split="other") is None


def test_teachers_are_found() -> None:
    teacher = one(role="teacher", teacher="t")
    assert teacher is not None
    assert teacher["mean"] == 0.5  # with its interval over images
    assert one(role="teacher", teacher="other") is None


def test_a_selector_that_fits_two_rows_means_none() -> None:
    assert one(student="s") is None


def test_where_a_column_prints_nothing_the_measured_number_has_three_decimals() -> None:
    tree = copy.deepcopy(SUITE)
    tree["tables"][0]["rows"][0]["published"] = [None, None, None]
    shown = published_tables(compare(Suite.model_validate(tree), {"a": RESULTS}))[0]
    assert shown.rows[0][1].text.startswith("- | 50.00 [")
    assert shown.rows[0][2].text == "- | 2.346"


@pytest.mark.parametrize(
    ("published", "value", "shown"),
    [
        (2.0, 1.521e9, "2 | 1.5"),
        (26, 26.672e9, "26 | 26.7"),
        (100, 99.6e9, "100 | 99.6"),
        (23, 23e9, "23 | 23"),
        (4.21, 4.4e9, "4.21 | 4.40"),
    ],
)
def test_a_measured_number_is_not_rounded_to_the_printed_one(
    published: float, value: float, shown: str
) -> None:
    table = SUITE["tables"][0]
    row = {**table["rows"][0], "published": [published]}
    column = {"title": "size", "experiment": "a", "metric": "macs", "unit": "G"}
    suite = {**SUITE, "tables": [{**table, "columns": [column], "rows": [row]}]}
    results = copy.deepcopy(RESULTS)
    results["models"][1]["cost"]["macs"] = value
    (made,) = published_tables(compare(Suite.model_validate(suite), {"a": results}))
    assert made.rows[0][1].text == shown


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"metric": "gradcam.met_ms", "method": "kd"}, 7.0),
        ({"metric": "gradcam.met_ms", "role": "teacher"}, 70.0),
        ({"metric": "gradcam.forwards", "method": "kd"}, 1.0),
        ({"metric": "gradcam.deletion_auc", "role": "teacher", "teacher": "t"}, 0.2),
        ({"metric": "gradcam.pearson", "method": "kd"}, 0.6),
        ({"metric": "gradcam.pearson", "method": "kd", "of": "x"}, 0.5),
        ({"metric": "gradcam.stability", "method": "kd"}, 0.9),
    ],
)
def test_scores_of_explanations_are_those_of_the_selected_model(
    chosen: dict[str, Any], expected: float
) -> None:
    found = one(**chosen)
    assert found is not None
    assert found["mean"] == pytest.approx(expected)


def test_a_score_of_several_runs_has_its_interval_over_them() -> None:
    found = one(metric="gradcam.deletion_auc", method="kd")
    assert found is not None
    assert (found["mean"], found["over"], found["n"]) == (0.31, "seeds", 2)


@pytest.mark.parametrize(
    "chosen",
    [
        {"metric": "gradcam.zebra", "method": "kd"},
        {"metric": "shap.met_ms", "method": "kd"},
        {"metric": "gradcam.met_ms", "method": "none"},
        {"metric": "gradcam.met_ms"},
        {"metric": "gradcam.pearson", "method": "kd", "of": "zebra"},
    ],
)
def test_what_was_not_measured_of_explanations_is_none(chosen: dict[str, Any]) -> None:
    assert one(**chosen) is None


def test_explanations_of_an_older_version_have_no_scores() -> None:
    older = {**RESULTS, "explanations": {"figure": "f.png", "agreement": {"gradcam": {}}}}
    assert measured(older, Selector(metric="gradcam.met_ms", method="kd")) is None


def test_numbers_of_other_settings_are_told_apart() -> None:
    results = {**RESULTS, "other_settings": ["data.image_size", "train.student.epochs"]}
    compared = compare(Suite.model_validate(SUITE), {"a": results})
    assert (
        "a was run with other settings than the file now has: data.image_size, "
        "train.student.epochs." in list(summary(compared))
    )
