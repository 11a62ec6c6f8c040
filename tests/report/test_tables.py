"""Tables against the results they were made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdray.report import datasets, tables
from kdray.report.cells import Cell, Table

Results = dict[str, Any]
Change = Callable[..., Results]


def cell(table: Table, row: str, column: str) -> Cell:
    """Return the cell of the first row that starts with ``row``."""
    place = [item.key for item in table.columns].index(column)
    return next(cells[place] for cells in table.rows if cells[0].text == row)


def test_every_model_has_a_row(results: Results) -> None:
    table = tables.main_table(results, "test")
    assert [row[0].text for row in table.rows] == [model["label"] for model in results["models"]]


def test_scores_are_shown_as_a_reader_would_write_them(results: Results) -> None:
    found = results["models"][2]["summary"]["test"]["accuracy"]
    shown = cell(tables.main_table(results, "test"), "cnn5 <- resnet18 (kd)", "accuracy")
    assert shown.text == f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    assert (shown.value, shown.low, shown.high) == (found["mean"], found["low"], found["high"])


def test_the_difference_is_the_one_of_the_split(results: Results) -> None:
    found = results["models"][2]["against_alone"]["test_clean"]["macro_f1"]
    shown = cell(tables.main_table(results, "test_clean"), "cnn5 <- resnet18 (kd)", "difference")
    assert shown.text == f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def test_teacher_and_student_alone_have_no_difference(results: Results) -> None:
    table = tables.main_table(results, "test")
    assert {cell(table, row, "difference").text for row in ("resnet18", "cnn5 alone")} == {"-"}


def test_each_row_says_what_its_interval_is_over(results: Results) -> None:
    table = tables.main_table(results, "test")
    assert [cell(table, row, "over").text for row in ("resnet18", "cnn5 alone")] == [
        "images",
        "3 seeds",
    ]


def test_costs_have_units(results: Results) -> None:
    table = tables.cost_table(results)
    keys = ("parameters", "macs", "latency_ms", "file_mb")
    shown = [cell(table, "resnet18", key).text for key in keys]
    assert shown == ["11.2 M", "1.82 G", "31.4 ms", "44.8 MB"]


def test_ratios_are_teacher_over_student(results: Results) -> None:
    table = tables.ratio_table(results, "test")
    assert cell(table, "cnn5 <- resnet18 (kd)", "parameters").value == pytest.approx(
        11178564 / 392836
    )
    assert cell(table, "cnn5 <- resnet18 (kd)", "latency").text == "12.0x"


def test_classes_are_means_over_the_runs(results: Results) -> None:
    runs = results["models"][1]["runs"]
    recalls = [run["scores"]["test"]["per_class"]["glioma"]["recall"] for run in runs]
    table = tables.class_table(results, "test")
    row = next(row for row in table.rows if (row[0].text, row[1].text) == ("cnn5 alone", "glioma"))
    assert row[3].value == pytest.approx(sum(recalls) / 3)
    assert row[6].text == "300"


def test_a_class_without_images_has_no_scores(results: Results) -> None:
    for run in results["models"][1]["runs"]:
        nothing = dict.fromkeys(("precision", "recall", "f1", "auc"))
        run["scores"]["test"]["per_class"]["glioma"] = {**nothing, "support": 0}
    table = tables.class_table(results, "test")
    row = next(row for row in table.rows if (row[0].text, row[1].text) == ("cnn5 alone", "glioma"))
    assert [item.text for item in row[2:]] == ["n/a"] * 4 + ["0"]


def test_a_search_counts_its_trials(results: Results) -> None:
    search = results["searches"][0]
    search["trials"][0].update(state="failed", score=None)
    table = tables.search_table(results)
    pruned = sum(trial["state"] == "pruned" for trial in search["trials"])
    shown = [cell(table, search["label"], key).value for key in ("trials", "pruned", "failed")]
    assert shown == [16, pruned, 1]


def test_an_undefined_auc_is_not_available(results: Results) -> None:
    results["models"][1]["summary"]["test"]["auc"] = None
    assert cell(tables.main_table(results, "test"), "cnn5 alone", "auc").text == "n/a"


def test_one_seed_has_no_brackets_over_seeds(change: Change) -> None:
    results = change(seeds=1)
    notes = tables.main_table(results, "test").notes
    assert not [note for note in notes if note.startswith("Brackets over seeds")]
    assert [note for note in notes if note.startswith("Brackets over images: 95% bootstrap")]


def test_the_long_table_holds_every_split(results: Results) -> None:
    table = tables.long_table(results, ["test_clean", "test"])
    assert [row[3].text for row in table.rows] == ["test_clean"] * 5 + ["test"] * 5


def test_the_data_table_adds_up(results: Results) -> None:
    table = datasets.dataset_table(results)
    assert cell(table, "test", "total").text == "1,311"


def test_only_pairs_of_splits_that_share_images_are_listed(results: Results) -> None:
    table = datasets.leak_table(results)
    assert [(row[0].text, row[1].text) for row in table.rows] == [("test", "train")]
    assert cell(table, "test", "share").text == "38.4%"
    assert cell(table, "test", "per_class").text == (
        "glioma 3, meningioma 109, notumor 385, pituitary 7"
    )


def test_unreadable_images_are_told(results: Results) -> None:
    results["dataset"]["bad"] = [{"id": "a.png", "problem": "is cut off"}]
    assert "1 image could not be read and took no part." in datasets.dataset_table(results).notes


def test_no_search_for_copies_is_told(results: Results) -> None:
    results["dataset"]["duplicates"] = {"check": "none", "threshold": None, "leaks": []}
    assert any("Nobody looked" in note for note in datasets.dataset_table(results).notes)
