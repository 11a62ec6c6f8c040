"""Tables and plots of a search over pairs and methods: what they say, not how they look."""

from __future__ import annotations

import re
from typing import Any

import pytest
from matplotlib.figure import Figure

from kdray.report import importance, landscape, search_charts, search_section, search_tables
from kdray.report._scale import Scale, scale_of
from kdray.report.trials import Trial, best_of, by_method, spaces_of, trials_of
from tests.report.searched import searched

Results = dict[str, Any]
UNIT = {"min": 0.0, "max": 1.0}


@pytest.fixture(scope="module")
def wide() -> Results:
    """3 students, 3 teachers, 2 methods and ``none``; 123 trials. Not to be changed."""
    return searched()


@pytest.fixture(scope="module")
def plots(wide: Results) -> dict[str, search_section.Block]:
    """The plots of ``wide`` by their titles."""
    return {block.title: block for block in search_section.blocks(wide)}


@pytest.fixture
def narrow() -> Results:
    """One student, one teacher, one method and ``none``."""
    return searched(students=1, teachers=1, methods=("kd",), trials=4)


def trial(number: int, score: float | None = None, **facts: Any) -> Trial:
    state = facts.pop("state", "complete" if score is not None else "failed")
    named = {"arm": "s <- t (kd)", "student": "s", "teacher": "t", "method": "kd", "costs": {}}
    named |= {"params": {}, "epochs": 3} | facts
    return Trial(number=number, score=score, state=state, **named)


def even(num: int, teachers: tuple[str, ...] = ("t",)) -> list[Trial]:
    """Trials whose score is alpha alone, while beta runs through other values."""
    return [
        trial(
            index,
            index / num,
            params={"alpha": index / num, "beta": index * 7 % num / num},
            teacher=teachers[index % len(teachers)],
            arm=f"s <- {teachers[index % len(teachers)]} (kd)",
        )
        for index in range(num)
    ]


def test_trials_come_in_the_order_of_the_study(wide: Results) -> None:
    assert [trial.number for trial in trials_of(wide)] == list(range(123))


def test_older_results_that_count_each_arm_anew_are_counted_through(results: Results) -> None:
    assert [trial.number for trial in trials_of(results)] == list(range(32))


def test_the_best_trial_ran_to_its_end() -> None:
    found = best_of([trial(0, 0.7), trial(1, 0.9, state="pruned"), trial(2, 0.8)], lower=False)
    assert found is not None
    assert found.number == 2


def test_the_best_of_a_loss_is_the_lowest_and_of_equals_the_first() -> None:
    found = best_of([trial(0, 0.7), trial(1, 0.2), trial(2, 0.2), trial(3)], lower=True)
    assert found is not None
    assert found.number == 1


def test_where_all_were_stopped_the_best_of_them_counts() -> None:
    found = best_of([trial(0, 0.1, state="pruned"), trial(1)], lower=False)
    assert found is not None
    assert found.number == 0


def test_spaces_that_were_not_kept_reach_as_far_as_the_trials(results: Results) -> None:
    trials = trials_of(results)
    found = spaces_of(results, trials)
    rates = [trial.params["learning_rate"] for trial in trials]
    assert found["learning_rate"] == {"min": min(rates), "max": max(rates), "log": True}
    assert not found["alpha"]["log"] or found["alpha"]["max"] >= 20 * found["alpha"]["min"]


def test_the_setting_that_makes_the_score_is_the_most_important_one() -> None:
    found = importance.importances(even(20), {"beta": UNIT, "alpha": UNIT}, lower=False)
    assert found is not None
    assert next(iter(found)) == "alpha"
    assert found["alpha"] > 0.9
    assert sum(found.values()) == pytest.approx(1)


def test_teachers_count_as_a_choice_where_there_are_several() -> None:
    trials = [
        trial(index, 0.9 if index % 2 else 0.1, teacher="tu"[index % 2], params={"a": index / 12})
        for index in range(12)
    ]
    found = importance.importances(trials, {"a": UNIT}, lower=False)
    assert found is not None
    assert next(iter(found)) == "teacher"


@pytest.mark.parametrize(
    ("trials", "spaces"),
    [
        (even(3), {"alpha": UNIT, "beta": UNIT}),
        ([trial(n, 0.5, params={"alpha": n / 9, "beta": n / 9}) for n in range(9)], {}),
        (even(9), {"alpha": UNIT}),
        ([trial(n) for n in range(9)], {}),
    ],
    ids=["three trials", "equal scores", "one choice", "all failed"],
)
def test_importances_need_several_scores_and_choices(
    trials: list[Trial], spaces: dict[str, Any]
) -> None:
    assert importance.importances(trials, spaces, lower=False) is None


def test_a_setting_that_never_changed_is_no_choice() -> None:
    trials = [trial(n, n / 9, params={"alpha": n / 9, "T": 4.0}) for n in range(9)]
    spaces = {"alpha": UNIT, "T": {"min": 1, "max": 9}}
    assert importance.importances(trials, spaces, lower=False) is None


def test_a_logarithmic_scale_has_ten_times_as_much_at_even_distances() -> None:
    scale = scale_of("rate", {"min": 1e-4, "max": 1e-2, "log": True}, [1e-3])
    assert [scale.place(value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [text for _, text in scale.ticks()] == ["0.0001", "0.001", "0.01"]


def test_choices_lie_evenly_apart_and_a_lone_one_in_the_middle() -> None:
    scale = scale_of("mask", {"choices": ["a", "b", "c"]}, ["b"])
    assert [place for place, _ in scale.ticks()] == [0, 0.5, 1]
    assert Scale("mask", choices=("a",)).ticks() == [(0.5, "a")]


def test_a_trial_outside_of_its_space_widens_the_scale() -> None:
    assert scale_of("T", {"min": 1, "max": 9}, [12.0]).place(12.0) == 1


def test_each_pair_shows_its_best_finished_score(wide: Results) -> None:
    table = search_tables.pairs_table(wide)
    search = next(s for s in wide["searches"] if s["label"] == "ghostnet <- resnet101 (kd)")
    done = [t["score"] for t in search["trials"] if t["state"] == "complete"]
    column = [column.title for column in table.columns].index("ghostnet")
    row = next(r for r in table.rows if [r[0].text, r[1].text] == ["kd", "resnet101"])
    assert row[column].value == max(done)


def test_students_alone_have_one_row_for_all_methods(wide: Results) -> None:
    rows = search_tables.pairs_table(wide).rows
    assert [(row[0].text, row[1].text) for row in rows][:2] == [
        ("none", "alone"),
        ("kd", "vgg19-bn"),
    ]
    assert len(rows) == 7


def test_a_matrix_shows_the_mean_on_test_with_its_interval(wide: Results) -> None:
    first = search_tables.pair_matrices(wide)[0]
    head, row = first.rows[1]
    model = next(m for m in wide["models"] if m["label"] == f"{first.students[0]} <- {head} (kd)")
    found = model["summary"]["test_clean"]["macro_f1"]
    assert row[0] is not None
    assert row[0].test == f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


@pytest.mark.parametrize(("select", "best"), [("macro_f1", max), ("loss", min)])
def test_the_best_pair_of_the_job_is_marked(wide: Results, select: str, best: Any) -> None:
    done = [s for s in wide["searches"] if "complete" in {t["state"] for t in s["trials"]}]
    scores = [s["best"]["score"] for s in done]
    found = {
        cell.best
        for matrix in search_tables.pair_matrices({**wide, "select": select})
        for _, row in matrix.rows
        for cell in row
        if cell is not None and cell.chosen
    }
    assert found == {best(scores)}


def test_a_pair_that_the_job_does_not_have_stays_empty(wide: Results) -> None:
    gone = [s for s in wide["searches"] if s["label"] != "ofa-595 <- vgg19-bn (kd)"]
    models = [m for m in wide["models"] if m["label"] != "ofa-595 <- vgg19-bn (kd)"]
    matrix = search_tables.pair_matrices({**wide, "searches": gone, "models": models})[0]
    assert dict(matrix.rows)["vgg19-bn"][matrix.students.index("ofa-595")] is None


def test_a_pair_without_a_finished_trial_does_not_stretch_the_colours(wide: Results) -> None:
    cells = {
        cell.best: cell
        for matrix in search_tables.pair_matrices(wide)
        for _, row in matrix.rows
        for cell in row
        if cell is not None and cell.best is not None
    }
    done = [cell for cell in cells.values() if cell.finished]
    assert min(cells) < min(cell.best for cell in done if cell.best is not None)
    assert cells[min(cells)].share == 0
    assert min(cell.share for cell in done) == 0
    assert max(cell.share for cell in done) == 1


def test_a_pair_without_a_finished_trial_says_so(narrow: Results) -> None:
    for one in narrow["searches"][1]["trials"]:
        one["state"] = "pruned"
    cell = search_tables.pair_matrices(narrow)[0].rows[1][1][0]
    assert cell is not None
    assert cell.counted == "4 trials, none finished"


def test_the_front_is_a_table_with_costs_and_settings(wide: Results) -> None:
    table = search_tables.pareto_table(wide)
    front = sorted(wide["search"]["pareto"], key=lambda entry: -entry["score"])
    assert [row[1].value for row in table.rows] == [entry["number"] for entry in front]
    assert [row[3].value for row in table.rows] == [entry["costs"]["macs"] for entry in front]
    assert "learning_rate" in table.rows[0][-1].text


def test_without_costs_there_is_no_front() -> None:
    results = searched(students=1, teachers=1, methods=("kd",), trials=6, against=())
    assert search_tables.pareto_table(results).rows == ()
    assert search_charts.pareto_chart(results, "p") is None


def test_the_history_names_the_arms_that_got_furthest_and_counts_the_others(
    wide: Results,
) -> None:
    drawn = search_charts.history_chart(wide, "h") or ""
    best = max((s for s in wide["searches"] if s["best"]), key=lambda s: s["best"]["score"])
    assert best["label"].replace("<", "&lt;") in drawn
    assert "other arms (16)" in drawn
    assert "stopped early" in drawn


def test_the_history_says_how_many_trials_lie_outside(wide: Results) -> None:
    drawn = search_charts.history_chart(wide, "h") or ""
    assert re.search(r"\d+ weaker trials outside the picture", drawn)


def test_a_stopped_trial_that_was_ahead_stays_in_the_picture() -> None:
    axes = Figure().subplots()
    done = [trial(n, 0.5 + n / 100) for n in range(6)]
    ahead, weak = trial(6, 0.9, state="pruned"), trial(7, 0.1, state="pruned")
    search_charts._zoom(axes, [*done, ahead, weak], lower=False)
    low, high = axes.get_ylim()
    assert 0.1 < low < 0.5
    assert high > 0.9


def test_one_score_is_no_history(narrow: Results) -> None:
    for search in narrow["searches"]:
        search["trials"] = search["trials"][:1]
        search["trials"][0].update(state="complete", score=0.5)
    narrow["searches"] = narrow["searches"][:1]
    assert search_charts.history_chart(narrow, "h") is None


def test_parallel_axes_are_named_and_end_with_the_score() -> None:
    trials = even(12, teachers=("t", "u"))
    drawn = landscape.parallel_chart(trials, {"alpha": UNIT}, "accuracy", "p", lower=False) or ""
    assert "Parallel axes of 12 trials: teacher, alpha, accuracy" in drawn
    assert ">u</text>" in drawn


@pytest.mark.parametrize(
    "trials", [even(3), [trial(n, 0.5, params={"alpha": 0.1}) for n in range(5)]]
)
def test_too_few_scores_make_no_landscape(trials: list[Trial]) -> None:
    assert landscape.parallel_chart(trials, {"alpha": UNIT}, "accuracy", "p", lower=False) is None
    panels = {"kd": (trials, {"alpha": UNIT})}
    assert landscape.contour_chart(panels, "accuracy", "c", lower=False) is None


def test_a_contour_takes_off_what_the_pair_makes_of_the_score() -> None:
    trials, spaces = even(16, teachers=("t", "u")), {"alpha": UNIT, "beta": UNIT}
    both = landscape.contour_chart({"kd": (trials, spaces)}, "accuracy", "c", lower=False) or ""
    assert "kd: accuracy minus the pair's median" in both
    alone = landscape.contour_chart({"kd": (even(16), spaces)}, "accuracy", "c", lower=True) or ""
    assert "kd: accuracy<" in alone


def test_one_setting_is_drawn_as_score_against_it() -> None:
    panels = {"none": (even(9), {"alpha": UNIT})}
    drawn = landscape.contour_chart(panels, "accuracy", "c", lower=False) or ""
    assert ">alpha</text>" in drawn
    assert "var(--ramp-" not in drawn


def test_choices_that_are_words_stand_along_their_axis() -> None:
    trials = [
        trial(n, n / 8, params={"layer": ("deep", "shallow")[n % 2], "T": n}) for n in range(8)
    ]
    spaces = {"layer": {"choices": ["deep", "shallow"]}, "T": {"min": 0, "max": 7}}
    drawn = landscape.contour_chart({"kd": (trials, spaces)}, "accuracy", "c", lower=False) or ""
    assert "shallow" in drawn
    assert "deep" in drawn


def test_the_front_is_ringed_against_every_cost(wide: Results) -> None:
    drawn = search_charts.pareto_chart(wide, "p") or ""
    assert "operations, million MACs" in drawn
    assert f"{len(wide['search']['pareto'])} on the front" in drawn


def test_a_small_search_gets_sentences_instead_of_plots(narrow: Results) -> None:
    for search in narrow["searches"]:
        search["trials"] = search["trials"][:1]
    found = {block.title: block for block in search_section.blocks(narrow)}
    importances, settings = found["Importance"], found["Settings and scores of none, kd"]
    assert importances.svg is None
    assert "4 finished trials" in importances.text
    assert settings.svg is None


def test_each_method_has_its_plots(wide: Results, plots: dict[str, search_section.Block]) -> None:
    drawn = [title for title, block in plots.items() if block.svg]
    assert drawn == [
        "Course of the search",
        "Importance",
        "Settings and scores: kd",
        "Settings and scores: dfkd",
        "The most important settings",
        "Score against cost of the trials",
    ]
    assert list(by_method(wide)) == ["none", "kd", "dfkd"]


def test_contours_are_over_ranges_where_there_are_two(
    plots: dict[str, search_section.Block],
) -> None:
    drawn = plots["The most important settings"].svg or ""
    assert ">alpha</text>" in drawn
    assert ">mask</text>" not in drawn


def test_the_section_says_what_was_searched_and_spent(narrow: Results) -> None:
    narrow["search"]["earlier"] = 12
    said = " ".join(search_section.sentences(narrow))
    assert said.startswith("5 trials over 2 combinations of student, teacher and method: ")
    assert "learned from 12 trials of an earlier search" in said
    assert "jobs/brain-mri/study.journal in the storage: kdray dashboard brain-mri" in said
    assert search_section.spent(narrow) == [("trials", "5 of 5"), ("hours", "0.41 of 2.00")]
