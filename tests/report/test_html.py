"""The HTML report: self-contained, escaped, whole without its optional parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kdray.report import charts, write_report
from kdray.store import Store
from tests.report.searched import searched

Results = dict[str, Any]
SPEC = "apiVersion: kdray/v1\nkind: Experiment\nname: brain-mri\n"
VOID = {"meta", "img", "br", "path", "use", "rect"}


class Page(HTMLParser):
    """Collects addresses, ids and what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def html(full_report: tuple[Results, str]) -> str:
    return full_report[1]


def test_the_file_needs_nothing_beside_itself(html: str) -> None:
    addresses = Page(html).addresses
    assert addresses
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert "://" not in html
    assert "@import" not in html


def test_every_element_is_closed_and_every_id_is_unique(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_references_inside_the_charts_have_their_targets(html: str) -> None:
    page = Page(html)
    wanted = {address[1:] for address in page.addresses if address.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert wanted <= set(page.ids)


def test_names_are_escaped(change: Callable[..., Results], store: Store) -> None:
    results = change(classes=("<b>", "a&b", "$x$", 'q"'), seeds=1)
    results["models"] = results["models"][:3]
    results["searches"] = results["searches"][:1]
    results["models"][1]["label"] = "<script>alert(1)</script>"
    results["searches"][0]["label"] = "<i>"
    html = write_report(results, store, "name: </pre><script>")
    assert "<b>" not in html.replace("<b>Note.</b>", "")
    assert "&lt;b&gt;" in html
    assert html.count("<script>") == 1
    assert "<i>" not in html


def test_the_numbers_of_the_tables_stand_in_the_page(
    full_report: tuple[Results, str],
) -> None:
    results, html = full_report
    found = results["models"][0]["summary"]["test"]["auc"]
    assert f"{found['mean']:.3f} <span" in html
    assert f"[{found['low']:.3f}, {found['high']:.3f}]" in html


def test_confusion_matrices_are_summed_over_the_runs(
    full_report: tuple[Results, str],
) -> None:
    results, html = full_report
    runs = results["models"][1]["runs"]
    total = sum(run["scores"]["test_clean"]["confusion"][0][0] for run in runs)
    share = 100 * total / (3 * 297)
    assert f"{total:,}<small>{share:.1f}%</small>" in html


def test_it_says_that_it_is_no_medical_device(html: str) -> None:
    assert "research software and no medical device" in html


def test_keys_to_the_storage_are_blanked(bare: Results, store: Store) -> None:
    spec = "storage: {uri: 's3://b/p?access_key=AKIA12&secret_key=verysecret&region=eu'}"
    html = write_report(bare, store, spec)
    assert "AKIA12" not in html
    assert "verysecret" not in html
    assert "region=eu" in html


def test_the_same_results_give_the_same_chart(results: Results) -> None:
    model = results["models"][0]
    drawn = [charts.learning_curves(model, "macro_f1", "l") for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_optional_parts_may_be_missing(change: Callable[..., Results], store: Store) -> None:
    results = change(seeds=1, splits=("test",))
    results.update(searches=[], explanations=None, promoted=None, seconds={})
    results["models"] = results["models"][1:2]
    del results["code"]
    for model in results["models"]:
        model["summary"]["test"]["auc"] = None
        model["against_alone"] = None
    html = write_report(results, store, "")
    assert 'id="search"' not in html
    assert 'id="explanations"' not in html
    assert Page(html).open == []


def test_results_without_a_test_split_give_a_report(
    change: Callable[..., Results], store: Store
) -> None:
    results = change(splits=(), seeds=1)
    results.update(searches=[], models=results["models"][:1])
    html = write_report(results, store, SPEC)
    assert "There is no test split." in html
    assert 'id="curves"' in html


def test_a_lost_explanation_figure_is_told(bare: Results, tmp_path: Path) -> None:
    html = write_report(bare, Store(str(tmp_path / "empty")), SPEC)
    assert "explanations.png is not in the storage any more" in html


def test_labels_of_charts_are_no_formulas(results: Results, store: Store) -> None:
    results["models"][0]["label"] = "net$x_1$"
    drawn = charts.score_against_cost(results, "test", "c") or ""
    assert "net$x_1$ (teacher)" in drawn


def test_a_model_without_history_has_no_curves(results: Results) -> None:
    for run in results["models"][0]["runs"]:
        run["history"] = []
    assert charts.learning_curves(results["models"][0], "macro_f1", "l") is None


@pytest.fixture(scope="module")
def searched_report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a search over 2 x 2 pairs, without learning curves, which take time."""
    made = searched(students=2, teachers=2, trials=24)
    made["explanations"] = None
    for model in made["models"]:
        model["runs"] = [{**run, "history": []} for run in model["runs"]]
    return write_report(made, Store(str(tmp_path_factory.mktemp("search"))), SPEC)


def test_the_plots_of_a_search_keep_the_page_whole(searched_report: str) -> None:
    page = Page(searched_report)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    wanted = {address[1:] for address in page.addresses if address.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", searched_report))
    assert wanted <= set(page.ids)
    assert "://" not in searched_report


def test_every_colour_of_a_search_follows_the_page(searched_report: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", searched_report, flags=re.DOTALL)
    assert drawn
    assert not [colour for svg in drawn for colour in re.findall(r"#[0-9a-f]{6}\b", svg)]


def test_a_pair_says_which_score_its_mean_is_of(searched_report: str) -> None:
    assert "Below: the mean macro F1 on " in searched_report


def test_a_search_has_its_own_part_of_the_page(searched_report: str) -> None:
    for id in ("search", "knowledge"):
        assert f'<section id="{id}">' in searched_report
        assert f'href="#{id}"' in searched_report
    assert searched_report.count("Best of each pair: ") == 2


def test_a_search_of_older_results_is_shown_as_well(full_report: tuple[Results, str]) -> None:
    results, html = full_report
    assert "32 trials over 2 combinations" in html
    assert "Course of the search" in html
    assert 'id="knowledge"' not in html
    assert f"{results['searches'][0]['best']['score']:.3f}<small>" in html
