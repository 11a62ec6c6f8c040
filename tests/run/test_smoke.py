from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kdray.cli.main import build
from kdray.plan import read_work
from kdray.run.smoke import smoke
from kdray.spec import Experiment, Suite

SUITE = """\
apiVersion: kdray/v1
kind: Suite
name: few
base:
  data: {{source: {{name: folder, params: {{path: absent}}}}, channels: 1}}
  teachers: [{{id: t, model: {{name: cnn5, params: {{widths: [2, 2, 2, 2, 2]}}}}}}]
  students: [{{id: s, model: {{name: cnn5, params: {{widths: [2, 2, 2, 2, 3]}}}}}}]
  methods: [none, kd]
  explain: {{methods: [gradcam, featuremaps]}}
  storage: {{uri: {storage}}}
experiments:
  - {{name: n5, set: {{train.student.per_class: 5}}}}
  - {{name: all}}
tables:
  - title: Few
    source: Nobody, Table 1
    columns:
      - {{title: five, experiment: n5, unit: "%"}}
      - {{title: all, experiment: all, unit: "%"}}
    rows:
      - {{title: alone, student: s, method: none, published: [76.5, 99]}}
      - {{title: kd, student: s, method: kd, published: [90, null]}}
smoke: {{image_size: 32}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    path = folder / "suite.yaml"
    path.write_text(SUITE.format(storage=folder / "runs"))
    return path


@pytest.fixture(scope="module")
def ran(file: Path) -> Any:
    return CliRunner().invoke(build(), ["run", str(file), "--smoke", "--plain"])


def test_a_trial_run_of_a_suite_needs_no_data_and_no_ray_and_fills_its_tables(ran: Any) -> None:
    assert ran.exit_code == 0, ran.output
    assert "3 of 3 published numbers are measured." in ran.output
    assert "not run" not in ran.output


def test_what_experiments_share_is_trained_once(ran: Any, file: Path) -> None:
    trained = list((file.parent / "runs/smoke/steps/pretrain").iterdir())
    assert len(trained) == 1
    assert len(list((file.parent / "runs/smoke/steps/distil").iterdir())) == 4


def test_results_of_a_suite_are_shown_by_file_and_by_name(ran: Any, file: Path) -> None:
    smoke_storage = str(file.parent / "runs/smoke")
    by_name = CliRunner().invoke(build(), ["results", "few", "--storage", smoke_storage])
    assert "3 of 3 published numbers are measured." in by_name.output
    untouched = CliRunner().invoke(build(), ["results", str(file)])
    assert untouched.exit_code == 0
    assert "0 of 3 published numbers are measured." in untouched.output
    assert "Not run yet: n5, all." in untouched.output
    markdown = CliRunner().invoke(build(), ["results", str(file), "--markdown"])
    assert "76.5 \\| not run" in markdown.output


def test_the_report_of_a_suite_links_those_of_its_experiments(ran: Any, file: Path) -> None:
    page = (file.parent / "runs/smoke/jobs/few/report.html").read_text()
    assert "Nobody, Table 1" in page
    assert 'href="../few.n5/report.html"' in page
    assert (file.parent / "runs/smoke/jobs/few.n5/report.html").exists()


def test_a_second_trial_run_repeats_nothing(ran: Any, file: Path) -> None:
    again = CliRunner().invoke(build(), ["run", str(file), "--smoke", "--plain"])
    assert again.exit_code == 0
    assert "epoch" not in again.output


def test_a_trial_run_keeps_models_methods_and_explainers(file: Path) -> None:
    suite = read_work(file)
    assert isinstance(suite, Suite)
    small = smoke(suite)
    assert isinstance(small, Suite)
    for before, after in zip(suite.expanded(), small.expanded(), strict=True):
        assert after.methods == before.methods
        assert after.students == before.students
        assert after.explain.methods == before.explain.methods
        assert after.train.student.per_class == before.train.student.per_class
        assert (after.train.student.epochs, after.evaluate.seeds, after.search.trials) == (1, 1, 0)
        assert after.data.source.name == "phantom"
        assert after.storage.uri.endswith("/smoke")


def test_an_experiment_can_be_tried_out_too() -> None:
    job = read_work("jobs/quickstart.yaml")
    small = smoke(job)
    assert isinstance(small, Experiment)
    assert small.promote.registry == "runs/smoke/registry"


def test_the_folder_of_a_trial_run_stands_before_the_options_of_its_storage() -> None:
    job = read_work("jobs/quickstart.yaml", ["storage.uri=s3://lab/runs?scheme=http"])
    small = smoke(job)
    assert isinstance(small, Experiment)
    assert small.storage.uri == "s3://lab/runs/smoke?scheme=http"
    assert small.promote.registry == "s3://lab/runs/smoke/registry?scheme=http"


def test_results_of_an_edited_suite_say_what_was_otherwise(ran: Any, file: Path) -> None:
    from kdray.run.job import results_of
    from kdray.store import Store

    suite = read_work(file)
    assert isinstance(suite, Suite)
    found = results_of(suite, Store(str(file.parent / "runs/smoke")))
    assert "data.source.name" in found["n5"]["other_settings"]
    same = smoke(suite)
    assert isinstance(same, Suite)
    assert results_of(same, Store(str(file.parent / "runs/smoke")))["n5"]["other_settings"] == []
