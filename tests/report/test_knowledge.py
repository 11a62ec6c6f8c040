"""What was recorded of teachers, and what that saved."""

from __future__ import annotations

from typing import Any

import pytest

from kdray.report import knowledge

Results = dict[str, Any]


def made(live: dict[str, str] | None = None, teacher: str = "vgg") -> Results:
    """100 images in 2 views; trials of 3 and 1 epochs, a run of 5 epochs, one run alone."""
    arm = {"label": f"s <- {teacher} (kd)", "student": "s", "teacher": teacher, "method": "kd"}
    alone = {"label": "s alone", "student": "s", "teacher": None, "method": "none"}
    trials = [
        {"number": n, "params": {}, "values": [0.5] * epochs, "score": 0.5, "state": "complete"}
        for n, epochs in enumerate((3, 1))
    ]
    run = {"history": [{}] * 5}
    student = {"role": "student", "model": "s", "runs": [run]}
    record = {"teacher": "vgg", "views": 2, "images": 100, "teacher_images": 200, "bytes": 800}
    record |= {"columns": {"logits": {"bytes": 800}}, "live": live or {}, "seconds": 1.5}
    return {
        "searches": [{**arm, "trials": trials}],
        "models": [
            {**student, **{key: arm[key] for key in ("label", "teacher", "method")}},
            {**student, **{key: alone[key] for key in ("label", "teacher", "method")}},
        ],
        "knowledge": {"records": [record], "ensembles": {}},
    }


def test_the_work_saved_is_counted_in_images_of_trials_and_runs() -> None:
    assert knowledge.saved(made()) == (
        "The records hold the teachers' looks at 200 images. In the loop of every trial and run "
        "they would have looked at 900, 4.50 times as many."
    )


def test_what_ran_live_counts_as_work_done() -> None:
    said = knowledge.saved(made(live={"s <- vgg (kd)": "needs 3 GB more"}))
    assert "live on 900 more" in said
    assert "would have looked at 900." in said


def test_an_ensemble_asks_each_of_its_teachers() -> None:
    results = made(teacher="both")
    other = {**results["knowledge"]["records"][0], "teacher": "resnet"}
    results["knowledge"]["records"].append(other)
    results["knowledge"]["ensembles"] = {"both": ["vgg", "resnet"]}
    assert "400 images" in knowledge.saved(results)
    assert "looked at 1,800," in knowledge.saved(results)


def test_a_teacher_is_a_row_with_sizes_and_what_is_live() -> None:
    table = knowledge.records_table(made(live={"s <- vgg (kd)": "needs 3 GB more"}))
    [row] = table.rows
    assert [cell.text for cell in row] == [
        "vgg",
        "2",
        "100",
        "200",
        "logits",
        "800 B",
        "1",
        "1.50 s",
    ]
    assert table.notes[-1] == "Live: vgg runs in every step of s <- vgg (kd): needs 3 GB more."


def test_many_live_pairs_are_counted() -> None:
    table = knowledge.records_table(made(live={f"s{n} <- vgg (kd)": "why" for n in range(9)}))
    assert "s5 <- vgg (kd) and 3 more: why." in table.notes[-1]


@pytest.mark.parametrize("given", [None, {}, {"records": []}])
def test_without_records_there_is_nothing_to_show(given: dict[str, Any] | None) -> None:
    results = {**made(), "knowledge": given}
    assert knowledge.records_table(results).rows == ()
    assert knowledge.saved(results) == ""
