"""``kdray results`` and ``kdray report`` on stored results."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kdray.cli.main import build
from kdray.errors import JobError, KdrayError, RunError
from kdray.run.journal import Journal
from kdray.store import Store
from tests.report.explained import explanations
from tests.report.searched import searched

SPEC = """
apiVersion: kdray/v1
kind: Experiment
name: {name}
data: {{source: {{name: folder, params: {{path: images}}}}}}
teachers: [timm/resnet18]
students: [timm/resnet10t]
storage: {{uri: {uri}}}
"""


def _made_results() -> dict[str, Any]:
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_fixtures", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[str, Any] = module.make_results()
    return made


@pytest.fixture
def results() -> dict[str, Any]:
    return _made_results()


@pytest.fixture
def storage(tmp_path: Path, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Store:
    """The storage ``runs`` of the current folder, with the finished job brain-mri."""
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    store.write_json("jobs/brain-mri/results.json", results)
    store.write_json("jobs/brain-mri/job.json", {"name": "brain-mri", "kind": "Experiment"})
    return store


def call(*words: str) -> str:
    """Return what a command prints; its errors are raised."""
    done = CliRunner().invoke(build(), list(words), env={"COLUMNS": "200"}, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout


def test_results_show_the_tables_and_end_with_what_was_found(storage: Store) -> None:
    shown = call("results", "brain-mri")
    for title in ("Images", "Searches", "Classes on test_clean", "Costs", "Models on test_clean"):
        assert f"\n{title}" in f"\n{shown}"
    assert "504 of the 1,311 test images" in " ".join(shown.split())
    assert shown.rstrip().endswith(("above zero.", "not shown.", "harm."))


def test_no_word_is_cut_in_a_narrow_terminal(storage: Store) -> None:
    done = CliRunner().invoke(build(), ["results", "brain-mri"], env={"COLUMNS": "80"})
    assert "…" not in done.stdout
    assert "mobilenet" in done.stdout


def test_one_split_can_be_asked_for(storage: Store) -> None:
    shown = call("results", "brain-mri", "--split", "test")
    assert "Models on test\n" in shown
    assert "Models on test_clean" not in shown


def test_an_unknown_split_is_an_error_that_names_the_nearest(storage: Store) -> None:
    with pytest.raises(JobError, match=r"no split 'tset'. Did you mean 'test'\?"):
        call("results", "brain-mri", "--split", "tset")


def test_csv_has_a_row_for_each_model_and_split(storage: Store, results: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(call("results", "brain-mri", "--csv"))))
    assert len(rows) == 10
    found = results["models"][0]["summary"]["test"]["accuracy"]
    row = next(row for row in rows if (row["label"], row["split"]) == ("resnet18", "test"))
    assert (float(row["accuracy"]), float(row["accuracy_low"])) == (found["mean"], found["low"])


def test_json_is_for_programs(storage: Store) -> None:
    facts = json.loads(call("results", "brain-mri", "--json"))
    assert facts["job"] == "brain-mri"
    assert facts["models"]["rows"][0]["parameters"] == 11178564
    assert facts["promoted"]["alias"] == "champion"
    assert len(facts["headline"]) == 3


def test_markdown_can_be_pasted(storage: Store) -> None:
    shown = call("results", "brain-mri", "--markdown")
    assert shown.startswith("**Models on test\\_clean**\n\n| Model | Interval over |")


def test_two_formats_at_once_are_an_error(storage: Store) -> None:
    with pytest.raises(JobError, match="exclude each other"):
        call("results", "brain-mri", "--json", "--csv")


def test_a_job_file_names_its_storage(storage: Store, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(SPEC.format(name="brain-mri", uri=tmp_path / "runs"))
    assert call("results", str(file), "--csv") == call("results", "brain-mri", "--csv")


def test_a_job_file_that_never_ran_says_how_to_run_it(storage: Store, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(SPEC.format(name="other", uri=tmp_path / "runs"))
    with pytest.raises(RunError, match=r"has not run yet. Run it: kdray run .*job.yaml"):
        call("results", str(file))


def test_an_unknown_job_is_an_error_that_names_the_nearest(storage: Store) -> None:
    with pytest.raises(
        JobError, match=r"no job 'brain' was started in 'runs'. Did you mean 'brain-mri'"
    ):
        call("results", "brain")


def test_an_unfinished_job_says_how_far_it_is(storage: Store) -> None:
    with Journal(storage, "half") as journal:
        steps = [{"id": name, "label": name, "state": "waiting"} for name in ("a", "b", "c")]
        journal.event("job_started", steps=steps)
        journal.event("step_started", "a")
        journal.event("step_finished", "a", seconds=1.0)
        journal.state(command="kdray run half.yaml")
        journal.event("job_stopped")
    with pytest.raises(
        RunError, match=r"the job is stopped, 1 of 3 steps done. Continue it: kdray run half.yaml"
    ):
        call("results", "half")


@pytest.fixture
def drawn_fast(storage: Store, results: dict[str, Any]) -> None:
    """Leave only one model in the stored results, and nothing that takes long to draw."""
    results.update(searches=[], models=results["models"][:1])
    results["models"][0]["runs"][0]["history"] = []
    storage.write_json("jobs/brain-mri/results.json", results)


@pytest.mark.usefixtures("drawn_fast")
def test_the_report_lies_beside_the_results(storage: Store) -> None:
    assert "report.html" in call("report", "brain-mri")
    html = (storage.read("jobs/brain-mri/report.html") or b"").decode()
    assert html.startswith("<!doctype html>")
    assert "kind: Experiment" in html


@pytest.mark.usefixtures("drawn_fast")
def test_the_report_can_be_written_elsewhere(storage: Store, tmp_path: Path) -> None:
    facts = json.loads(call("report", "brain-mri", "--out", "out.html", "--json"))
    assert facts["report"] == "out.html"
    assert (tmp_path / "out.html").stat().st_size == facts["bytes"]
    assert storage.read("jobs/brain-mri/report.html") is None


@pytest.mark.usefixtures("drawn_fast")
def test_a_report_that_cannot_be_written_is_an_error(storage: Store) -> None:
    with pytest.raises(KdrayError, match="cannot be written"):
        call("report", "brain-mri", "--out", "no/such/folder/out.html")


@pytest.fixture
def wide_search(storage: Store) -> dict[str, Any]:
    """Replace the stored results by those of a search over 3 x 3 pairs and 2 methods."""
    made = searched()
    storage.write_json("jobs/brain-mri/results.json", made)
    return made


def test_results_show_the_best_of_each_pair_the_front_and_the_records(
    wide_search: dict[str, Any],
) -> None:
    shown = call("results", "brain-mri")
    for title in ("Best of each pair (validation macro F1)", "Pareto front", "Recorded knowledge"):
        assert f"\n{title}" in shown
    assert "times as many" in shown


def test_long_tables_are_left_to_the_report(wide_search: dict[str, Any]) -> None:
    shown = call("results", "brain-mri")
    assert "\nSearches" not in shown
    assert "Left to the report and to --json: Searches (21 rows)" in shown


def test_json_holds_what_was_searched_and_recorded(wide_search: dict[str, Any]) -> None:
    facts = json.loads(call("results", "brain-mri", "--json"))
    assert facts["search"] == wide_search["search"]
    assert facts["knowledge"] == wide_search["knowledge"]
    assert len(facts["searches"]["rows"]) == 21
    assert facts["pairs"]["rows"][1]["teacher"] == "vgg19-bn"


def test_json_of_older_results_knows_of_neither(storage: Store) -> None:
    facts = json.loads(call("results", "brain-mri", "--json"))
    assert facts["search"] is None
    assert facts["knowledge"] is None


@pytest.fixture
def explained(storage: Store, results: dict[str, Any]) -> dict[str, Any]:
    """The finished job, its explanations scored."""
    results["explanations"] = explanations()
    storage.write_json("jobs/brain-mri/results.json", results)
    return results


def test_results_show_the_scores_of_explanations(explained: dict[str, Any]) -> None:
    said = call("results", "brain-mri")
    for title in ("Faithfulness of the maps", "Maps of student and teacher", "Sanity of the maps"):
        assert title in said
    assert "seeds [0." in said
    assert "A map shows where the model looked, not where the disease is." in said
    assert "Maps of student and teacher, class by class" in said.partition("Left to the report")[2]


def test_json_holds_every_score_of_explanations(explained: dict[str, Any]) -> None:
    found = json.loads(call("results", "brain-mri", "--json"))
    rows = found["faithfulness"]["rows"]
    assert {row["method"] for row in rows} == {"gradcam", "scorecam_fast", "featuremaps", "random"}
    assert rows[0]["deletion_auc"]["mean"] is not None
    assert found["agreement"]["rows"][0]["teacher"] == "resnet18"
    assert len(found["agreement_by_class"]["rows"]) == 32
    assert found["explanations"]["scored"]["images"] == 16
    assert found["explanations"]["randomised"][0]["stages"]
    assert found["fidelity_candidates"]["rows"][0]["retention"]["low"] is not None


def test_explanations_can_be_pasted_as_markdown(explained: dict[str, Any]) -> None:
    said = call("results", "brain-mri", "--markdown")
    assert "**Maps of student and teacher (resnet18)**" in said
    assert "| random |" in said


def test_explanations_of_an_older_version_say_to_run_again(storage: Store) -> None:
    assert "run the job again" in call("results", "brain-mri")
    found = json.loads(call("results", "brain-mri", "--json"))
    assert "faithfulness" not in found
    assert found["explanations"]["figures"] is None
