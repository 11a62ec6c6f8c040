from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import JobError, JobErrors
from kdray.spec import Experiment, Service, load_job
from kdray.spec.experiment import Ensemble


def test_the_smallest_job_is_filled_with_defaults(read: Any) -> None:
    job = read()
    assert isinstance(job, Experiment)
    assert [method.name for method in job.methods] == ["none", "kd"]
    assert job.train.student.epochs == 10
    assert [pair.teacher for pair in job.all_pairs()] == ["resnet18"]


def test_all_errors_are_told_at_once_in_the_order_of_the_file(problems: Any) -> None:
    assert problems(
        """\
        methods: [kdd, none]
        train:
          student: {epochs: many, optimiser: sgd}
        search: {trials: -1}
        promot: {}
        """
    ) == [
        "job.yaml:10:11: no method is called 'kdd'. Did you mean 'kd'?",
        "job.yaml:12:21: train.student.epochs: input should be a valid integer, not 'many'.",
        "job.yaml:12:27: train.student.optimiser: no such field. Did you mean 'optimizer'?",
        "job.yaml:13:18: search.trials: input should be greater than or equal to 0, not -1.",
        "job.yaml:14:1: promot: no such field. Did you mean 'promote'?",
    ]


def test_a_field_like_no_other_is_answered_with_the_valid_ones(problems: Any) -> None:
    assert problems("storage: {qqq: runs}") == [
        "job.yaml:10:11: storage.qqq: no such field. Valid here: uri."
    ]


def test_a_missing_field_is_told_at_its_parent(problems: Any) -> None:
    found = problems(
        whole="""\
        apiVersion: kdray/v1
        kind: Experiment
        name: tiny
        data:
          image_size: 32
        teachers: [timm/resnet18]
        """
    )
    assert found == [
        "job.yaml:1:1: students: this field is missing.",
        "job.yaml:4:1: data.source: this field is missing.",
    ]


def test_a_wrong_choice_is_answered_with_the_nearest(problems: Any) -> None:
    assert problems("train: {student: {precision: bfloat61}}") == [
        "job.yaml:10:30: train.student.precision: input should be 'float32', 'bfloat16' or "
        "'float16', not 'bfloat61'. Did you mean 'bfloat16'?"
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("train: 3", "train: input should be a mapping of fields, not 3."),
        ("methods: kd", "methods: input should be a list, not 'kd'."),
        ("methods: [3]", "methods.0: input should be a mapping of fields, not 3."),
        ("description: null", "description: input should be a valid string, not null."),
        ("search: {trials: 2.5}", "search.trials: input should be a valid integer"),
        ("search: {trials: '2'}", "search.trials: input should be a valid integer, not '2'."),
        ("train: {student: {learning_rate: .inf}}", "input should be a finite number, not inf."),
        ("evaluate: {seeds: true}", "evaluate.seeds: input should be a valid integer, not True."),
        ("search: {learning_rate: {min: 0, max: 1}}", "a learning rate must be a number above 0."),
        ("search: {learning_rate: {min: 2, max: 1}}", "min 2 must be below max 1."),
    ],
)
def test_a_wrong_value_is_shown_with_what_was_expected(
    more: str, expected: str, problems: Any
) -> None:
    (line,) = problems(more)
    assert expected in line
    assert line.startswith("job.yaml:10:")


def test_the_settings_of_a_part_are_checked_where_they_stand(problems: Any) -> None:
    assert problems(
        """\
        methods:
          - name: kd
            params: {alpha: 2, t: 3}
            search: {gamma: {min: 0, max: 1}, T: {min: 0, max: 5}, alpha: {min: 0, max: 1}}
        """
    ) == [
        "job.yaml:12:21: alpha: input should be less than or equal to 1, not 2.",
        "job.yaml:12:24: t: kd has no such setting. Its settings: alpha, T, "
        "labels, normalise, direction.",
        "job.yaml:13:14: gamma: kd has no such setting to search. Its settings: alpha, "
        "T, labels, normalise, direction.",
        "job.yaml:13:42: T: the search reaches outside: input should be greater than 0, not 0.",
        "job.yaml:13:60: alpha: is both fixed in params and searched. Keep one.",
    ]


@pytest.mark.parametrize(
    "method",
    [
        "{name: kd, params: [1], search: {T: {min: 1, max: 2}}}",
        "{name: kd, search: {T: {choices: 5}}}",
        "{name: kd, search: [T]}",
        "{name: [kd]}",
    ],
)
def test_parts_of_a_wrong_shape_are_refused_without_a_crash(method: str, problems: Any) -> None:
    assert problems(f"methods: [{method}]")


def test_a_setting_that_a_part_needs_is_asked_for(problems: Any) -> None:
    found = problems(
        whole="""\
        apiVersion: kdray/v1
        kind: Experiment
        name: tiny
        data: {source: phantom}
        teachers: [{id: t, model: timm}]
        students: [cnn5]
        """
    )
    assert found == ["job.yaml:5:27: arch: timm needs this setting."]


def test_ids_in_methods_are_known(problems: Any) -> None:
    assert problems(
        """\
        methods: [{name: kd, teachers: [resnet18, cnn5], students: [cnn6]}]
        """
    ) == [
        "job.yaml:10:43: methods.0.teachers.1: no teacher has the id 'cnn5'. "
        "The teachers: resnet18.",
        "job.yaml:10:61: methods.0.students.0: no student has the id 'cnn6'. Did you mean 'cnn5'?",
    ]


def test_ids_in_pairs_are_known_and_listed_once(problems: Any) -> None:
    assert problems(
        """\
        pairs:
          - {teacher: resnet81, student: cnn5}
          - {teacher: cnn5, student: xyz}
          - {teacher: cnn5, student: xyz}
        """
    ) == [
        "job.yaml:11:15: pairs.0.teacher: no teacher has the id 'resnet81'. "
        "Did you mean 'resnet18'?",
        "job.yaml:12:15: pairs.1.teacher: no teacher has the id 'cnn5'. The teachers: resnet18.",
        "job.yaml:12:30: pairs.1.student: no student has the id 'xyz'. The students: cnn5.",
        "job.yaml:13:5: pairs.2: cnn5 with xyz is listed twice. List each pair once.",
        "job.yaml:13:15: pairs.2.teacher: no teacher has the id 'cnn5'. The teachers: resnet18.",
        "job.yaml:13:30: pairs.2.student: no student has the id 'xyz'. The students: cnn5.",
    ]


def test_one_id_cannot_stand_for_two_models(problems: Any) -> None:
    (line,) = problems(sets=["students.0=timm/resnet18"])
    assert "the id 'resnet18' stands for two models" in line


def test_a_search_on_a_cluster_that_grows_says_how_many_trials_run_at_once(
    problems: Any, read: Any
) -> None:
    (line,) = problems("resources: {autoscale: true}")
    assert "give search.concurrent" in line
    for sets in (["search.concurrent=4"], ["search.trials=0"]):
        assert read("resources: {autoscale: true}", sets=sets).resources.autoscale


def test_a_part_may_be_its_name_or_written_in_full(read: Any) -> None:
    short = read("methods: [kd]\nexplain: {methods: [gradcam]}")
    full = read("methods: [{name: kd, params: {}}]\nexplain: {methods: [{name: gradcam}]}")
    assert short == full


def test_a_model_may_be_its_name_or_written_in_full(read: Any) -> None:
    job = read(sets=["teachers.0={id: resnet18, model: {name: timm, params: {arch: resnet18}}}"])
    assert job == read()
    assert job.teachers[0].model.params == {"arch": "resnet18"}


def test_the_id_of_a_shortened_model_is_its_architecture(read: Any) -> None:
    job = read(sets=["teachers.0=timm/mobilenetv3_small_100"])
    assert job.teachers[0].id == "mobilenetv3-small-100"


def test_pairs_are_all_or_those_listed(read: Any) -> None:
    assert read("pairs: all") == read()
    assert read("pairs: [{teacher: resnet18, student: cnn5}]").all_pairs() == read().all_pairs()


def test_served_models_may_be_shortened_with_their_version(read: Any) -> None:
    job = read(
        whole="""\
        apiVersion: kdray/v1
        kind: Service
        name: desk
        models: [a, b@3, c@champion, {name: d, version: 4}]
        """
    )
    assert isinstance(job, Service)
    found = [(model.name, model.version) for model in job.models]
    assert found == [("a", "champion"), ("b", "3"), ("c", "champion"), ("d", "4")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("experiment", "job.yaml:2:7: no job is of kind 'experiment'. Did you mean 'Experiment'?"),
        (
            "Zebra",
            "job.yaml:2:7: no job is of kind 'Zebra'. Valid here: Experiment, Service, Suite.",
        ),
        ("[x]", "job.yaml:2:7: no job is of kind ['x']. Valid here: Experiment, Service, Suite."),
        ("", "job.yaml: the field 'kind' is missing. Write kind: Experiment, Suite or Service."),
    ],
)
def test_an_unknown_kind_is_refused(kind: str, expected: str, problems: Any) -> None:
    assert problems(whole=f"apiVersion: kdray/v1\nkind: {kind}\n") == [expected]


@pytest.mark.parametrize("text", ["[]", "3", "- kind: Experiment", "# nothing\n"])
def test_a_file_that_holds_no_mapping_is_refused(text: str, problems: Any) -> None:
    assert "holds no job" in problems(whole=text)[0]


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.yaml: cannot be read: No such file"):
        load_job(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JobError, match="cannot be read"):
        load_job(path)


def test_errors_survive_the_way_between_processes(read: Any) -> None:
    with pytest.raises(JobErrors) as caught:
        read("promot: 1\nnam: 2")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert len(again.problems) == 2


def test_an_ensemble_names_each_teacher_once() -> None:
    with pytest.raises(ValueError, match="'a' is named twice"):
        Ensemble.model_validate({"id": "both", "of": ["a", "a"]})
    assert Ensemble.model_validate({"id": "both", "of": ["a", "b"]}).of == ("a", "b")
