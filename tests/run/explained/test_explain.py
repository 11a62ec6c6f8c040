from __future__ import annotations

from typing import Any

from tests.run.explained.conftest import NOWHERE, Explained

LABELS = ["big", "small alone", "small <- big (kd)"]
Facts = dict[str, Any]


def test_every_model_has_a_row_for_each_method_and_a_random_one(explanations: Facts) -> None:
    rows = [(row["label"], row["method"]) for row in explanations["scores"]]
    methods = ("gradcam", "featuremaps", "random")
    assert rows == [(label, method) for label in LABELS for method in methods]
    assert {row["label"]: row["runs"] for row in explanations["scores"]} == {
        "big": 1,
        "small alone": 2,
        "small <- big (kd)": 2,
    }


def test_scores_have_intervals_over_images_and_over_runs(explanations: Facts) -> None:
    teacher, student = (
        next(row for row in explanations["scores"] if row["label"] == label)
        for label in ("big", "small alone")
    )
    for name in ("deletion_auc", "insertion_auc", "average_drop", "energy_inside"):
        row = next(
            row
            for row in explanations["scores"]
            if (row["label"], row["method"]) == ("small alone", "random")
        )
        assert row["measures"][name]["over"] == "images"
        assert row["measures"][name]["seeds"]["n"] == 2
    assert teacher["met_ms"]["seeds"] is None
    assert student["met_ms"]["seeds"]["over"] == "seeds"
    assert student["forwards"] == 1
    assert student["met_forwards"] > 0


def test_a_method_that_a_model_cannot_do_is_a_note_and_no_row(explanations: Facts) -> None:
    title = "gradcam (tap nowhere)"
    assert title in explanations["methods"]
    assert title not in {row["method"] for row in explanations["scores"]}
    assert title not in {row["method"] for row in explanations["agreement"]}
    said = [note for note in explanations["notes"] if note.startswith(f"{title} of small alone:")]
    assert len(said) == 1
    assert "nowhere" in said[0]


def test_a_student_alone_is_compared_with_the_teacher_of_its_pairs(explanations: Facts) -> None:
    rows = {(row["label"], row["teacher"]) for row in explanations["agreement"]}
    assert rows == {("small alone", "big"), ("small <- big (kd)", "big")}


def test_a_map_that_knows_no_class_is_compared_once(explanations: Facts) -> None:
    classes = {row["method"]: list(row["classes"]) for row in explanations["agreement"]}
    assert classes == {
        "gradcam": ["none", "ring", "solid", "speckled"],
        "featuremaps": [],
    }
    row = next(row for row in explanations["agreement"] if row["method"] == "featuremaps")
    assert row["all"]["pearson"]["n"] == 4
    assert "chance_pearson" in row["all"]
    assert 0 <= row["answers"]["top1_agreement"]["mean"] <= 1


def test_the_teacher_and_the_best_student_are_checked(explanations: Facts) -> None:
    checked = {(row["role"], row["method"]) for row in explanations["sanity"]}
    methods = ("gradcam", "featuremaps")
    assert checked == {(role, method) for role in ("teacher", "student") for method in methods}
    for row in explanations["sanity"]:
        assert row["stages"][0]["layers"] == "head"
        assert row["verdict"] in ("passed", "failed", None)


def test_each_figure_lies_beside_the_result(explained: Explained, explanations: Facts) -> None:
    kinds = [figure["kind"] for figure in explanations["figures"]]
    assert kinds == ["side_by_side", "classes", "layers"]
    for figure in explanations["figures"]:
        data = explained.store.read(f"{explanations['path']}/{figure['file']}")
        assert data is not None
        assert data.startswith(b"\x89PNG")


def test_what_was_scored_is_not_scored_again_for_another_figure(explained: Explained) -> None:
    result = explained.again(images=1)
    assert result["images"] == 1
    assert "score" not in explained.workers.done
    assert "check" not in explained.workers.done


def test_an_interrupted_step_scores_only_what_is_missing(explained: Explained) -> None:
    store = explained.store
    before = explained.again()
    scored = next(name for name in store.list("steps/explain") if name.startswith("small-none-s1"))
    store.delete(f"steps/explain/{scored}")
    again = explained.again()
    assert explained.workers.done.count("score") == 1
    assert [row["measures"] for row in again["scores"]] == [
        row["measures"] for row in before["scores"]
    ]


def test_without_scored_images_only_figures_are_made(explained: Explained) -> None:
    result = explained.again(scored=0)
    assert len(result["figures"]) == 3
    assert result["scored"] is None
    assert (result["scores"], result["agreement"], result["sanity"]) == ([], [], [])
    assert explained.workers.done == ["_apply"]


def test_the_best_student_alone_can_be_scored(explained: Explained) -> None:
    result = explained.again(models="best")
    labels = {row["label"] for row in result["scores"]}
    assert labels == {"big", result["student"].removeprefix("student ")}
    assert {row["runs"] for row in result["scores"]} == {1}


def test_the_step_says_how_far_it_is(explained: Explained) -> None:
    explained.again(scored=3, sanity=False, methods=["featuremaps"])
    told = [event for event in explained.events if event["unit"] == "models scored"]
    assert [event["done"] for event in told] == [0, 1, 2, 3, 4, 5]
    assert {event["total"] for event in told} == {5}
    assert told[-1]["seconds_left"] == 0


def test_figures_without_a_method_that_knows_classes_show_none(explained: Explained) -> None:
    result = explained.again(methods=["featuremaps"], scored=0)
    assert [figure["kind"] for figure in result["figures"]] == ["side_by_side", "layers"]


def test_a_step_whose_methods_all_fail_still_ends(explained: Explained) -> None:
    result = explained.again(methods=[NOWHERE], scored=2)
    assert {row["method"] for row in result["scores"]} == {"random"}
    assert result["agreement"] == []
    assert any("could not be checked" in note for note in result["notes"])
