"""Tables, sentences and charts of explanations against the results they were made from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kdray import measure
from kdray.report import (
    alike,
    explained_charts,
    explained_section,
    facts,
    maps,
    text,
    write_report,
)
from kdray.report.cells import Cell, Table
from kdray.report.explained import FAITHFULNESS, FIDELITY
from kdray.store import Store
from tests.report.explained import IMAGES, METHODS, STUDENT, STUDENTS, TEACHER, explanations

Results = dict[str, Any]
SCORES = (maps.faithfulness_table, maps.fidelity_table, maps.localisation_table)


def cell(table: Table, label: str, method: str, column: str) -> Cell:
    place = [item.key for item in table.columns].index(column)
    return next(
        cells[place] for cells in table.rows if (cells[0].text, cells[1].text) == (label, method)
    )


def row_of(results: Results, label: str, method: str, part: str = "scores") -> dict[str, Any]:
    rows: list[dict[str, Any]] = results["explanations"][part]
    return next(row for row in rows if (row["label"], row["method"]) == (label, method))


@pytest.mark.parametrize("make", SCORES)
def test_each_model_has_its_methods_and_last_its_random_maps(
    make: Any, explained: Results
) -> None:
    rows = [(row[0].text, row[1].text) for row in make(explained).rows]
    assert rows == [
        (label, method) for label in (TEACHER, *STUDENTS) for method in (*METHODS, "random")
    ]


def test_a_score_has_its_interval_over_images_and_over_seeds(explained: Results) -> None:
    found = row_of(explained, STUDENT, "gradcam")["measures"]["deletion_auc"]
    shown = cell(maps.faithfulness_table(explained), STUDENT, "gradcam", "deletion_auc")
    assert shown.text == f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    assert shown.seeds == (found["seeds"]["low"], found["seeds"]["high"])
    assert (
        cell(maps.faithfulness_table(explained), TEACHER, "gradcam", "deletion_auc").seeds is None
    )


def test_columns_are_called_and_explained_as_defined(explained: Results) -> None:
    column = maps.faithfulness_table(explained).columns[2]
    assert column.title == measure.DEFINITIONS["deletion_auc"].title
    assert measure.DEFINITIONS["deletion_auc"].text in column.meaning
    assert column.meaning.endswith("Lower is better.")


def test_fidelity_is_never_a_bare_word(explained: Results) -> None:
    for table in (*(make(explained) for make in SCORES), maps.cost_table(explained)):
        assert not [c for c in table.columns if "fidelity" in (c.title.lower(), c.key)]
    assert len(maps.fidelity_table(explained).columns) == 2 + 5 + 1


@pytest.mark.parametrize(("name", "best"), [("deletion_auc", min), ("insertion_auc", max)])
def test_the_best_method_of_a_model_is_marked(name: str, best: Any, explained: Results) -> None:
    table = maps.faithfulness_table(explained)
    for label in (TEACHER, *STUDENTS):
        values = {m: row_of(explained, label, m)["measures"][name]["mean"] for m in METHODS}
        marked = [m for m in (*METHODS, "random") if cell(table, label, m, name).best]
        assert marked == [best(values, key=lambda method: values[method])]


def test_no_method_is_best_that_random_maps_beat(explained: Results) -> None:
    row_of(explained, TEACHER, "random")["measures"]["insertion_auc"]["mean"] = 0.99
    table = maps.faithfulness_table(explained)
    assert not [m for m in METHODS if cell(table, TEACHER, m, "insertion_auc").best]


def test_likeness_to_the_input_is_no_merit(explained: Results) -> None:
    table = maps.fidelity_table(explained)
    assert not [m for m in METHODS if cell(table, TEACHER, m, "input_similarity").best]
    assert cell(table, TEACHER, "gradcam", "beats").text.endswith("of 4")


def test_scores_that_beat_random_maps_are_counted_by_their_intervals(explained: Results) -> None:
    measures = row_of(explained, TEACHER, "gradcam")["measures"]
    floor = row_of(explained, TEACHER, "random")["measures"]
    for name in FAITHFULNESS:
        floor[name]["mean"] = 0.5
        measures[name].update(mean=0.5, low=0.4, high=0.6)
    table = maps.faithfulness_table(explained)
    assert cell(table, TEACHER, "gradcam", "beats").text == "0 of 4"
    measures["deletion_auc"].update(low=0.1, high=0.3)  # low is good
    measures["insertion_auc"].update(low=0.1, high=0.3)  # high is good
    table = maps.faithfulness_table(explained)
    assert cell(table, TEACHER, "gradcam", "beats").text == "1 of 4"


def test_lesions_are_told_of_only_where_their_outlines_are_known(explained: Results) -> None:
    assert "12 scored images" in maps.localisation_table(explained).notes[0]
    explained["explanations"] = explanations(masks=0)
    assert maps.localisation_table(explained).rows == ()


def test_costs_count_blank_maps_and_say_why(explained: Results) -> None:
    table = maps.cost_table(explained)
    assert cell(table, "cnn5 alone", "scorecam_fast", "degenerate").text == f"2 of {3 * IMAGES}"
    assert [note for note in table.notes if "every value is 0" in note]
    assert cell(table, TEACHER, "scorecam_fast", "forwards").text == "178"
    assert cell(table, TEACHER, "gradcam", "met_forwards").text == "1.10x"
    assert cell(table, TEACHER, "gradcam", "met_ms").text.startswith("34.5 [")
    assert [c.key for c in table.columns if c.key == "estimate"] == ["estimate"]


def test_agreement_stands_beside_its_chance_level(explained: Results) -> None:
    found = row_of(explained, STUDENT, "gradcam", "agreement")["all"]
    table = alike.agreement_table(explained)
    keys = [column.key for column in table.columns]
    for name in ("pearson", "ssim", "iou20"):
        assert keys.index(f"chance_{name}") == keys.index(name) + 1
        shown = cell(table, STUDENT, "gradcam", f"chance_{name}")
        assert shown.text == f"{found[f'chance_{name}']['mean']:.3f}"
        assert shown.low == found[f"chance_{name}"]["low"]


def test_the_student_nearest_to_its_teacher_is_marked(explained: Results) -> None:
    for student in STUDENTS:
        value = 0.9 if student == STUDENT else 0.4
        row_of(explained, student, "gradcam", "agreement")["all"]["ssim"]["mean"] = value
    table = alike.agreement_table(explained)
    assert [s for s in STUDENTS if cell(table, s, "gradcam", "ssim").best] == [STUDENT]


def test_an_only_teacher_stands_in_the_heading_for_readers(explained: Results) -> None:
    full = alike.agreement_table(explained)
    short = alike.compact(full)
    assert "teacher" in [column.key for column in full.columns]
    assert "teacher" not in [column.key for column in short.columns]
    assert short.title.endswith(f"({TEACHER})")
    explained["explanations"]["agreement"][0]["teacher"] = "another"
    several = alike.agreement_table(explained)
    assert alike.compact(several) == several


def test_classes_are_compared_where_maps_know_them(explained: Results) -> None:
    rows = alike.agreement_by_class_table(explained).rows
    assert len(rows) == len(STUDENTS) * 2 * 4  # maps of features know no class
    assert {row[3].text for row in rows} == {"glioma", "meningioma", "notumor", "pituitary"}


def test_the_sanity_check_shows_verdict_and_chance(explained: Results) -> None:
    table = alike.sanity_table(explained)
    assert cell(table, TEACHER, "gradcam", "verdict").text == "passed"
    assert cell(table, TEACHER, "featuremaps", "verdict").text == "failed"
    last = row_of(explained, TEACHER, "gradcam", "sanity")["stages"][-1]["ssim"]
    assert cell(table, TEACHER, "gradcam", "ssim").text == f"{last:.3f}"


def test_sentences_begin_with_what_a_map_is_not(explained: Results) -> None:
    said = list(explained_section.sentences(explained))
    assert said[0] == "A map shows where the model looked, not where the disease is."


def test_the_distilled_student_is_told_beside_the_one_alone(explained: Results) -> None:
    best = facts.best_distilled(explained)
    assert best is not None
    taught, alone = (
        row_of(explained, label, "gradcam", "agreement")["all"]["pearson"]["mean"]
        for label in (best["label"], f"{best['model']} alone")
    )
    said = [s for s in explained_section.sentences(explained) if s.startswith("By gradcam")]
    assert f"{best['label']} and of {TEACHER} correlate with {taught:.3f} [" in said[0]
    assert f"without a teacher with {alone:.3f} [" in said[0]


def test_the_one_alone_is_compared_with_the_same_teacher(explained: Results) -> None:
    other = {**row_of(explained, "cnn5 alone", "gradcam", "agreement"), "teacher": "another"}
    before = list(explained_section.sentences(explained))
    explained["explanations"]["agreement"].append(other)
    other["all"] = {"pearson": {"mean": 0.99}}
    assert list(explained_section.sentences(explained)) == before


def test_failed_checks_and_maps_no_better_than_random_are_told(explained: Results) -> None:
    for name in FAITHFULNESS:
        row_of(explained, TEACHER, "featuremaps")["measures"][name].update(low=0.0, high=1.0)
    said = " ".join(explained_section.sentences(explained))
    assert f"Sanity check failed by featuremaps of {TEACHER}, {STUDENT}:" in said
    assert f"in any score of faithfulness: featuremaps of {TEACHER}, as far" in said


def test_results_of_an_older_version_say_that_they_must_be_run_again(results: Results) -> None:
    said = list(explained_section.sentences(results))
    assert [sentence for sentence in said if "run the job again" in sentence]
    assert explained_section.tables(results) == []
    assert explained_section.charts(results) == []
    assert [f.file for f in explained_section.figures(results)] == [
        results["explanations"]["figure"]
    ]


def test_explanations_without_scores_are_drawn_all_the_same(
    explained: Results, tmp_path: Path
) -> None:
    explained["explanations"].update(scores=[], agreement=[], sanity=[], scored=None)
    said = list(explained_section.sentences(explained))
    assert "The job asked for no scores of explanations (explain.scored: 0)." in said
    assert explained_section.tables(explained) == []
    assert explained_section.charts(explained) == []
    assert len(list(explained_section.figures(explained))) == 3


def test_no_explanations_have_no_tables(results: Results) -> None:
    results["explanations"] = None
    assert explained_section.tables(results) == []
    assert list(explained_section.figures(results)) == []


def test_the_legend_has_every_score_of_the_tables_with_its_source(explained: Results) -> None:
    made = explained_section.tables(explained)
    titles = [title for title, _, _ in explained_section.legend(made)]
    assert len(titles) == len(set(titles))
    for name in (*FAITHFULNESS, *FIDELITY, "pearson", "stability", "met_ms"):
        assert measure.DEFINITIONS[name].title in titles


def test_values_that_are_missing_are_not_available(explained: Results) -> None:
    row_of(explained, TEACHER, "gradcam")["measures"].clear()
    row_of(explained, TEACHER, "gradcam").update(met_ms=None, met_forwards=None)
    row_of(explained, TEACHER, "gradcam", "sanity").update(stability=None, stages=[])
    found = row_of(explained, STUDENT, "gradcam", "agreement")["all"]
    found.update(ssim=None, chance_ssim=None)
    table = maps.faithfulness_table(explained)
    assert cell(table, TEACHER, "gradcam", "deletion_auc").text == "n/a"
    assert cell(table, TEACHER, "gradcam", "beats").text == "-"
    assert cell(maps.cost_table(explained), TEACHER, "gradcam", "met_ms").text == "n/a"
    assert cell(alike.sanity_table(explained), TEACHER, "gradcam", "ssim").text == "n/a"
    assert cell(alike.agreement_table(explained), STUDENT, "gradcam", "ssim").text == "n/a"
    assert len(explained_section.charts(explained)) == 3


def test_markdown_marks_the_best_and_has_both_intervals(explained: Results) -> None:
    table = maps.faithfulness_table(explained)
    shown = text.markdown(table)
    assert re.search(r"\| \*\*0\.\d{3}\*\* \[0\.\d{3}, 0\.\d{3}\] seeds \[0\.\d{3}, ", shown)
    found = text.to_dict(table)["rows"][4]["deletion_auc"]
    assert sorted(found) == ["high", "low", "mean", "seeds"]


def test_charts_have_text_for_those_who_cannot_see_them(explained: Results) -> None:
    for draw in (
        explained_charts.agreement_dots,
        explained_charts.faithfulness_dots,
        explained_charts.randomisation_curves,
    ):
        drawn = draw(explained, "c") or ""
        assert re.search(r'role="img" aria-label="[^"]{40,}"', drawn)
        assert STUDENT.replace("<", "&lt;") in drawn
        assert not re.findall(r"#[0-9a-f]{6}\b", drawn)  # every colour follows the page


def test_a_model_has_the_same_colour_in_every_chart(explained: Results) -> None:
    assert explained_charts.shown_labels(explained) == [TEACHER, *STUDENTS]


def test_charts_show_so_many_models_and_the_best_pair_among_them(explained: Results) -> None:
    others = tuple(f"cnn5 {place}" for place in range(9))
    explained["explanations"] = explanations(students=(*others, *STUDENTS))
    shown = explained_charts.shown_labels(explained)
    assert len(shown) == explained_charts.MOST
    assert TEACHER in shown
    best = facts.best_distilled(explained)
    assert best is not None
    assert best["label"] in shown
    assert "6 of 14 models" in explained_section.charts(explained)[0].text


def test_the_page_has_figures_charts_tables_and_legend(
    full_report: tuple[Results, str],
) -> None:
    _, html = full_report
    start = html.index('<section id="explanations">')
    section = html[start : html.index("</section>", start)]
    assert section.count("data:image/png;base64,") == 3
    assert section.count("<svg") == 3
    for title in ("Maps of student and teacher", "Sanity of the maps", "What each score is"):
        assert title in section
    assert 'class="number best"' in section
    assert "seeds [0." in section
    assert "the model has no attention blocks" in section


def test_a_page_of_an_older_version_shows_its_figure(bare: Results, store: Store) -> None:
    bare["models"] = bare["models"][:2]
    html = write_report(bare, store, "kind: Experiment\n")
    assert 'id="explanations"' in html
    assert "run the job again" in html
    assert "Maps by gradcam, scorecam, featuremaps of teacher resnet18" in html
