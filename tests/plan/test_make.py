from __future__ import annotations

from typing import Any

import pytest

from kdray.errors import JobError
from kdray.plan import Plan, make_plan
from kdray.plan.keys import CODE
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


ALL = {"prepare", "pretrain", "record", "search", "distil", "evaluate", "explain", "promote"}
MEASURED = {"evaluate", "explain", "promote"}
BIG = {"id": "big", "model": "cnn5"}
HUGE = {"id": "huge", "model": {"name": "cnn5", "params": {"widths": [4, 4, 4, 4, 4]}}}


def test_the_same_job_has_the_same_keys() -> None:
    assert changed(plan(), plan()) == set()


def test_other_images_change_every_step() -> None:
    assert changed(plan(), plan("others")) == ALL


def test_other_spaces_of_the_search_train_no_teacher_again() -> None:
    other = plan(methods=["none", {"name": "kd", "search": {"alpha": {"min": 0.2, "max": 0.3}}}])
    assert changed(plan(), other) == {"search", "distil", *MEASURED}


def test_spaces_that_a_method_takes_nothing_of_are_refused() -> None:
    beta = {"beta": {"min": 0.5, "max": 0.6}}
    fixed = {"name": "dfkd", "params": {"alpha": 0.65}, "search": beta}
    with pytest.raises(JobError, match=r"takes nothing of its search.*alpha \+ beta is"):
        plan(methods=["none", fixed])
    apart = {"alpha": {"min": 0.6, "max": 0.9}, "beta": {"min": 0.5, "max": 0.6}}
    with pytest.raises(JobError, match=r"alpha \+ beta is 1\.\d+: above 1"):
        plan(methods=["none", {"name": "dfkd", "search": apart}])


def test_spaces_may_reach_into_what_a_method_does_not_take() -> None:
    both = {"alpha": {"min": 0.1, "max": 0.9}, "beta": {"min": 0.1, "max": 0.9}}
    assert len(plan(methods=["none", {"name": "dfkd", "search": both}]).arms) == 2


def test_what_only_the_reader_sees_changes_no_step() -> None:
    assert changed(plan(), plan(description="other words")) == set()


def test_another_seed_repeats_all_but_the_images() -> None:
    assert changed(plan(), plan(train={"seed": 1})) == ALL - {"prepare"}


def test_all_arms_share_one_search() -> None:
    made = plan()
    assert made.search is not None
    assert made.search.facts["arms"] == 2
    assert [step.kind for step in made.steps()].count("search") == 1
    assert all(made.search.id in step.needs for arm in made.arms for step in arm.distil)


def test_an_arm_with_nothing_to_search_waits_for_no_search() -> None:
    made = plan(search={"trials": 2})
    alone, taught = made.arms
    assert made.search is not None
    assert made.search.id not in alone.distil[0].needs
    assert made.search.id in taught.distil[0].needs


def test_other_trials_to_learn_from_repeat_the_search() -> None:
    job = plan(search={"warm_start": "earlier"}).job
    first, other = (make_plan(job, "images", warm_start=name) for name in ("a", "b"))
    assert changed(first, other) == {"search", "distil", *MEASURED}


def test_runs_wait_for_the_records_of_their_teachers() -> None:
    made = plan()
    alone, taught = made.arms
    record = made.record["big"]
    assert record.needs == (made.pretrain["big"].id,)
    assert record.id not in alone.distil[0].needs
    assert record.id in taught.distil[0].needs
    assert made.search is not None
    assert record.id in made.search.needs


def test_live_knowledge_has_no_records() -> None:
    made = plan(knowledge={"mode": "live"})
    assert made.record == {}
    assert made.pretrain["big"].id in made.arms[1].distil[0].needs


def test_logits_are_recorded_once_for_all_methods_and_students() -> None:
    more = plan(methods=["none", "kd", "soft_hard"], search={"trials": 0})
    budget = plan(knowledge={"budget": "1MB", "dtype": "float32"})
    assert "record" not in changed(plan(), more) | changed(plan(), budget)


def test_more_views_are_another_recording() -> None:
    longer = {"student": {"epochs": 20}}
    few = plan(train=longer, knowledge={"views": 4})
    many = plan(train=longer, knowledge={"views": None})
    assert (few.views, many.views) == (4, 20)
    assert changed(few, many) == ALL - {"prepare", "pretrain"}


def test_no_more_views_are_recorded_than_epochs_show() -> None:
    assert plan(train={"student": {"epochs": 3}}).views == 3
    assert plan(train={"student": {"epochs": 3}}, search={"epochs": 5}).views == 5
    assert plan(train={"student": {"epochs": 30}}).views == 8


def test_images_that_nothing_changes_have_one_view() -> None:
    data = {"source": "phantom", "image_size": 32, "channels": 1, "augment": "none"}
    assert plan(data=data).views == 1


def test_what_fits_the_budget_depends_on_the_maps_of_all_teachers() -> None:
    def both(**changes: Any) -> Plan:
        return plan(teachers=[BIG, HUGE], methods=["kd", "ikd"], search={"trials": 0}, **changes)

    one = both()
    assert {"record"} <= changed(one, both(knowledge={"budget": "1MB"}))
    only_big = [{"name": "ikd", "teachers": ["big"]}, "kd"]
    other = plan(teachers=[BIG, HUGE], methods=only_big, search={"trials": 0})
    assert other.record["big"].key != one.record["big"].key
    assert other.record["huge"].key != one.record["huge"].key


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


def together(**changes: Any) -> Plan:
    ensemble = {"id": "both", "of": ["big", "huge"]}
    return plan(**{"teachers": [BIG, HUGE], "ensembles": [ensemble], **changes})


def test_an_ensemble_teaches_like_any_teacher() -> None:
    made = together(pairs=[{"teacher": "both", "student": "small"}])
    taught = made.arms[1]
    assert taught.arm.label == "small <- both (kd)"
    assert taught.arm.teachers == ("big", "huge")
    assert {made.record["big"].id, made.record["huge"].id} <= set(taught.distil[0].needs)
    assert [item.id for item in made.ensembles] == ["both"]


def test_all_pairs_hold_the_ensembles_too() -> None:
    labels = [arm.arm.label for arm in together().arms]
    assert labels == [
        "small alone",
        *(f"small <- {name} (kd)" for name in ("big", "huge", "both")),
    ]


def test_an_ensemble_that_nobody_learns_from_is_not_measured() -> None:
    made = together(pairs=[{"teacher": "big", "student": "small"}])
    assert made.ensembles == ()
    assert list(made.pretrain) == ["big"]


def test_a_method_that_looks_at_maps_refuses_an_ensemble() -> None:
    with pytest.raises(JobError, match=r"methods\.1.*ikd looks.*both.*`methods\[1\]\.teachers`"):
        together(methods=["none", "ikd"])
    made = together(methods=["none", {"name": "ikd", "teachers": ["big", "huge"]}])
    assert "small <- both (ikd)" not in [arm.arm.label for arm in made.arms]


def test_ids_that_read_the_same_when_joined_are_refused() -> None:
    teachers = [{"id": "c", "model": "cnn5"}, {"id": "b-c", "model": "cnn5"}]
    students = [{"id": "a-b", "model": "cnn5"}, {"id": "a", "model": "cnn5"}]
    with pytest.raises(JobError, match=r"both be filed as a-b-c-kd.*another `id`"):
        plan(teachers=teachers, students=students)


def test_how_many_trials_run_at_once_changes_no_search() -> None:
    assert changed(plan(), plan(search={**SEARCHED, "concurrent": 4})) == set()


SEARCHED = {"learning_rate": {"min": 1e-3, "max": 1e-2}}


def test_what_else_is_recorded_repeats_no_student() -> None:
    methods = [{"name": "dfkd", "students": ["small"]}]
    other = {"id": "other", "model": "cnn5"}

    def made(**changes: Any) -> Plan:
        return plan(methods=methods, search={"trials": 0}, **changes)

    more = [{"id": "small", "model": "cnn5"}, other]
    wider = [*methods, {"name": "hdkd", "students": ["other"]}]
    both = plan(methods=wider, search={"trials": 0}, students=more)
    small = {step.key for arm in both.arms for step in arm.distil if arm.arm.student.id == "small"}
    assert small == {step.key for arm in made().arms for step in arm.distil}
    assert changed(made(), made(knowledge={"budget": "1GB"})) == {"record"}
    halved = changed(made(), made(knowledge={"dtype": "float32"}))
    assert halved == {"record", "distil", *MEASURED}


def test_another_way_to_record_repeats_whoever_learns_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = plan()
    monkeypatch.setitem(CODE, "record", CODE["record"] + 1)
    after = plan()
    assert changed(before, after) == {"record", "search", "distil", *MEASURED}
    taught = [arm for arm in after.arms if arm.arm.teacher is not None]
    known = {step.id for step in before.steps()}
    assert all(step.id not in known for arm in taught for step in arm.distil)
