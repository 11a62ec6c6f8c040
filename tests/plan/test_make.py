from __future__ import annotations

from typing import Any

import pytest

from kdray.errors import JobError
from kdray.plan import Plan, make_plan
from kdray.spec import Experiment


def plan(fingerprint: str = "images", **changes: Any) -> Plan:
    job: dict[str, Any] = {
        "apiVersion": "kdray/v1",
        "kind": "Experiment",
        "name": "job",
        "data": {"source": "phantom", "image_size": 32, "channels": 1},
        "teachers": [{"id": "big", "model": "cnn5"}],
        "students": [{"id": "small", "model": "cnn5"}],
        "methods": ["none", "kd"],
        "search": {"learning_rate": {"min": 1e-3, "max": 1e-2}},
        "evaluate": {"seeds": 2},
    }
    return make_plan(Experiment.model_validate({**job, **changes}), fingerprint)


def changed(one: Plan, other: Plan) -> set[str]:
    """Return the kinds of the steps that the second plan does not share with the first."""
    known = {step.id for step in one.steps()}
    return {step.kind for step in other.steps() if step.id not in known}


ALL = {"prepare", "pretrain", "search", "distil", "evaluate", "explain", "promote"}


def test_the_same_job_has_the_same_keys() -> None:
    assert changed(plan(), plan()) == set()


def test_other_images_change_every_step() -> None:
    assert changed(plan(), plan("others")) == ALL


def test_other_spaces_of_the_search_train_no_teacher_again() -> None:
    other = plan(methods=["none", {"name": "kd", "search": {"alpha": {"min": 0.2, "max": 0.3}}}])
    assert changed(plan(), other) == ALL - {"prepare", "pretrain"}


def test_spaces_that_do_not_go_together_with_what_is_fixed_are_refused() -> None:
    fixed = {"name": "dfkd", "params": {"alpha": 0.65}}
    with pytest.raises(JobError, match=r"its search would try beta 0\.4.*alpha \+ beta is 1\.05"):
        plan(methods=["none", fixed])
    both = {"alpha": {"min": 0.1, "max": 0.6}, "beta": {"min": 0.1, "max": 0.6}}
    with pytest.raises(JobError, match=r"alpha \+ beta is 1\.2: above 1"):
        plan(methods=["none", {"name": "dfkd", "search": both}])
    narrow = {**fixed, "search": {"beta": {"min": 0.1, "max": 0.2}}}
    assert len(plan(methods=["none", narrow]).arms) == 2


def test_what_only_the_reader_sees_changes_no_step() -> None:
    assert changed(plan(), plan(description="other words")) == set()


def test_another_seed_repeats_also_the_search_of_the_student_alone() -> None:
    first, other = plan(), plan(train={"seed": 1})
    alone = [next(arm for arm in made.arms if arm.arm.teacher is None) for made in (first, other)]
    keys = [arm.search.key for arm in alone if arm.search is not None]
    assert len(set(keys)) == 2


def test_another_name_of_a_model_reaches_the_steps_that_print_it() -> None:
    renamed = plan(students=[{"id": "tiny", "model": "cnn5"}])
    assert {"evaluate", "explain", "promote"} <= changed(plan(), renamed)


def test_more_seeds_keep_the_runs_of_the_first_ones() -> None:
    more = plan(evaluate={"seeds": 3})
    known = {step.id for step in plan().steps()}
    new = [step.label for step in more.steps() if step.kind == "distil" and step.id not in known]
    assert new == ["small alone seed 2", "small <- big (kd) seed 2"]


def test_another_content_of_a_weights_file_trains_its_teacher_again() -> None:
    teacher = {"id": "big", "model": "cnn5", "weights": "w.safetensors"}
    given = plan(teachers=[teacher]).job
    first, other = (make_plan(given, "images", {"w.safetensors": name}) for name in ("a", "b"))
    assert changed(first, other) == ALL - {"prepare"}


def arms(**changes: Any) -> list[str]:
    models = {
        "teachers": [{"id": name, "model": "cnn5"} for name in ("big", "huge")],
        "students": [{"id": name, "model": "cnn5"} for name in ("small", "tiny")],
    }
    return [arm.arm.label for arm in plan(**{**models, **changes}).arms]


def test_a_method_may_be_for_some_students_and_teachers_alone() -> None:
    methods = [
        {"name": "none", "students": ["tiny"]},
        {"name": "kd", "students": ["small"], "teachers": ["huge"]},
    ]
    assert arms(methods=methods) == ["small <- huge (kd)", "tiny alone"]


def test_without_teachers_a_method_may_be_for_some_students_alone() -> None:
    assert arms(teachers=[], methods=[{"name": "none", "students": ["tiny"]}]) == ["tiny alone"]


def test_a_baseline_of_another_name_changes_the_evaluation_alone() -> None:
    students = [{"id": "plain", "model": "cnn5"}, {"id": "small", "model": "cnn5"}]
    before = plan(students=students)
    after = plan(students=[students[0], {**students[1], "baseline": "plain"}])
    assert [step.key for step in after.steps() if step.kind == "distil"] == [
        step.key for step in before.steps() if step.kind == "distil"
    ]
    assert after.evaluate.key != before.evaluate.key


def test_a_job_of_baselines_needs_no_teacher() -> None:
    made = plan(teachers=[], methods=["none"])
    assert [arm.arm.label for arm in made.arms] == ["small alone"]
    with pytest.raises(JobError, match=r"methods\.1.*kd needs a teacher"):
        plan(teachers=[], methods=["none", "kd"])


def test_a_preset_and_its_part_spelled_out_share_their_steps() -> None:
    spelled = {"name": "timm", "params": {"arch": "visformer_small"}}
    one = plan(teachers=[{"id": "big", "model": "visformer_small"}])
    assert changed(one, plan(teachers=[{"id": "big", "model": spelled}])) == set()
    assert "pretrain" in changed(one, plan(teachers=[{"id": "big", "model": "densenet121"}]))
