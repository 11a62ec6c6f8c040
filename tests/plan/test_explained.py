from __future__ import annotations

from typing import Any

from kdray.plan import Plan, make_plan
from kdray.plan.explained import checked_step, scored_step, titled
from kdray.spec import Experiment

STAGE = {"name": "gradcam", "params": {"tap": "stage2"}}


def plan(name: str = "job", seeds: int = 1, **explain: Any) -> Plan:
    job = {
        "apiVersion": "kdray/v1",
        "kind": "Experiment",
        "name": name,
        "data": {"source": "phantom", "image_size": 32, "channels": 1},
        "teachers": [{"id": "big", "model": "cnn5"}],
        "students": [{"id": "small", "model": "cnn5"}],
        "evaluate": {"seeds": seeds},
        "explain": {"methods": ["gradcam", "featuremaps"], **explain},
    }
    return make_plan(Experiment.model_validate(job), "images")


def scores(made: Plan) -> str:
    """Return where the scores of the teacher lie."""
    return scored_step(made.job, made.pretrain["big"]).path


def test_more_images_in_the_figures_score_nothing_again() -> None:
    more = plan(images=8)
    assert more.explain.key != plan().explain.key
    assert scores(more) == scores(plan())


def test_jobs_share_the_scores_of_a_model_that_they_share() -> None:
    assert scores(plan("other", seeds=3)) == scores(plan())


def test_more_scored_images_check_nothing_again() -> None:
    few, some, more = (plan(scored=number) for number in (4, 16, 64))
    paths = [checked_step(made.job, made.pretrain["big"]).path for made in (few, some, more)]
    assert paths[0] != paths[1] == paths[2]


def test_another_baseline_is_compared_with_other_teachers() -> None:
    tree = plan().job.model_dump(mode="json")
    tree["students"].append({**tree["students"][0], "id": "other"})

    def key(baseline: str | None, scored: int) -> str:
        tree["students"][0]["baseline"], tree["explain"]["scored"] = baseline, scored
        return make_plan(Experiment.model_validate(tree), "images").explain.key

    assert key("other", 16) != key(None, 16)
    assert key("other", 0) == key(None, 0)


def test_other_methods_or_images_are_scored_by_themselves() -> None:
    assert scores(plan(scored=8)) != scores(plan())
    assert scores(plan(methods=["gradcam"])) != scores(plan())


def test_a_method_spelled_out_is_the_one_with_its_defaults() -> None:
    spelled = plan(methods=[{"name": "gradcam", "params": {"tap": "cam"}}, "featuremaps"])
    assert spelled.explain.key == plan().explain.key
    assert scores(spelled) == scores(plan())


def test_scores_and_sanity_of_a_model_lie_apart() -> None:
    made = plan()
    sanity = checked_step(made.job, made.pretrain["big"])
    assert sanity.path != scores(made)
    assert sanity.path.startswith("steps/explain/big-")


def test_a_method_that_is_there_twice_is_called_by_its_settings() -> None:
    assert list(titled(plan(methods=["gradcam", STAGE]).job)) == [
        "gradcam",
        "gradcam (tap stage2)",
    ]
    assert list(titled(plan(methods=[STAGE]).job)) == ["gradcam"]
    assert list(titled(plan(methods=[STAGE, STAGE]).job)) == ["gradcam (tap stage2)"]


def test_the_step_shows_its_size() -> None:
    facts = {"images": 4, "methods": 2, "scored": 16}
    assert plan(seeds=3).explain.facts == {**facts, "models": 7}
    assert plan(seeds=3, models="best").explain.facts == {**facts, "models": 2}
    assert plan(scored=0).explain.facts == {"images": 4, "methods": 2}
