"""Results with a search over pairs and methods; the numbers are drawn from a seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.report.conftest import make_results

STUDENTS = {"ofa-595": 0.90, "mobilenet-v3-s": 0.885, "ghostnet": 0.865}
TEACHERS = {"vgg19-bn": 0.012, "resnet101": 0.02, "deit-b": -0.01}
MACS = {"ofa-595": 5.95e8, "mobilenet-v3-s": 5.6e7, "ghostnet": 1.41e8}
PARAMETERS = {"ofa-595": 9.1e6, "mobilenet-v3-s": 1.5e6, "ghostnet": 3.9e6}
RATE = {"min": 1e-4, "max": 1e-2, "log": True, "step": None, "choices": []}
SPACES: dict[str, dict[str, Any]] = {
    "kd": {
        "alpha": {"min": 0.1, "max": 0.9, "log": False, "step": None, "choices": []},
        "T": {"min": 1.0, "max": 12.0, "log": False, "step": None, "choices": []},
        "learning_rate": RATE,
    },
    "dfkd": {
        "alpha": {"min": 0.0, "max": 0.9, "log": False, "step": None, "choices": []},
        "beta": {"min": 0.0, "max": 0.9, "log": False, "step": None, "choices": []},
        "T": {"min": 1.0, "max": 12.0, "log": False, "step": None, "choices": []},
        "mask": {
            "min": None,
            "max": None,
            "log": False,
            "step": None,
            "choices": ["soft", "hard"],
        },
        "learning_rate": RATE,
    },
    "none": {"learning_rate": RATE},
}
IMAGES, VIEWS, EPOCHS = 4855, 8, 6


def searched(
    students: int = 3,
    teachers: int = 3,
    methods: tuple[str, ...] = ("kd", "dfkd"),
    trials: int = 60,
    against: tuple[str, ...] = ("macs",),
) -> dict[str, Any]:
    """Return the results of a job with one study over all pairs and methods.

    Args:
        students: How many.
        teachers: How many.
        methods: Methods with a teacher; ``none`` comes by itself.
        trials: Trials of each method, over all its pairs.
        against: Costs beside the score.
    """
    random = np.random.default_rng(11)
    names, masters = list(STUDENTS)[:students], list(TEACHERS)[:teachers]
    arms = [(student, None, "none") for student in names]
    arms += [(s, t, m) for m in methods for t in masters for s in names]
    results = make_results(seeds=3)
    taken = [arms[i % len(arms)] for i in range(students)]
    taken += [(s, t, m) for m in methods for s, t in _drawn(random, names, masters, trials)]
    order = random.permutation(len(taken))
    searches = {arm: _search(arm) for arm in arms}
    for number, index in enumerate(order):
        arm = taken[index]
        searches[arm]["trials"].append(_trial(random, number, arm, number / len(taken), against))
    for search in searches.values():
        search["best"] = _best(search["trials"])
    results["searches"] = list(searches.values())
    results["models"] = _models(results, arms, masters)
    results["search"] = _study(results["searches"], against)
    results["knowledge"] = {"records": [_record(name) for name in masters], "ensembles": {}}
    return results


def _drawn(
    random: np.random.Generator, students: list[str], teachers: list[str], trials: int
) -> list[tuple[str, str]]:
    """Return the pairs of a method's trials: each some times, better ones more often."""
    pairs = [(student, teacher) for student in students for teacher in teachers]
    weights = np.array([math.exp(30 * (STUDENTS[s] + TEACHERS[t])) for s, t in pairs])
    least = min(2, trials // len(pairs))
    more = random.choice(len(pairs), trials - least * len(pairs), p=weights / weights.sum())
    return [*pairs * least, *(pairs[index] for index in more)]


def _search(arm: tuple[str, str | None, str]) -> dict[str, Any]:
    student, teacher, method = arm
    label = f"{student} <- {teacher} ({method})" if teacher else f"{student} alone"
    return {
        "label": label,
        "student": student,
        "teacher": teacher,
        "method": method,
        "select": "macro_f1",
        "spaces": SPACES[method],
        "trials": [],
        "best": None,
    }


def _trial(
    random: np.random.Generator,
    number: int,
    arm: tuple[str, str | None, str],
    learned: float,
    against: tuple[str, ...],
) -> dict[str, Any]:
    student, teacher, method = arm
    params = {
        name: _setting(random, name, space, learned) for name, space in SPACES[method].items()
    }
    score = STUDENTS[student] + (TEACHERS[teacher] if teacher else -0.015)
    score -= 0.03 * (math.log10(params["learning_rate"]) + 2.8) ** 2
    score -= 0.25 * (params.get("alpha", 0.35) - 0.35) ** 2
    score -= 0.03 if params.get("mask") == "hard" else 0.0
    score += float(random.normal(0, 0.006))
    state = str(random.choice(["complete", "pruned", "failed"], p=[0.55, 0.41, 0.04]))
    epochs = {"complete": EPOCHS, "pruned": int(random.integers(1, 4)), "failed": 0}[state]
    values = [score * (1 - 0.5 * math.exp(-epoch / 1.5)) for epoch in range(1, epochs + 1)]
    costs = {"macs": MACS[student], "parameters": PARAMETERS[student]}
    return {
        "number": number,
        "params": params,
        "values": values,
        "score": max(values, default=None),
        "state": state,
        "costs": {name: costs[name] for name in against},
        "seconds": 4.0 * epochs,
    }


def _setting(
    random: np.random.Generator, name: str, space: dict[str, Any], learned: float
) -> float | str:
    """Draw a setting, nearer to the good ones the further the search is."""
    if space["choices"]:
        return str(random.choice(space["choices"], p=[0.5 + 0.4 * learned, 0.5 - 0.4 * learned]))
    good = {"alpha": 0.35, "learning_rate": 10**-2.8}.get(name)
    low, high = space["min"], space["max"]
    ends = (math.log10(low), math.log10(high)) if space["log"] else (low, high)
    value = float(random.uniform(*ends))
    if good is not None and random.uniform() < 0.7 * learned:
        centre = math.log10(good) if space["log"] else good
        value = float(np.clip(random.normal(centre, 0.12 * (ends[1] - ends[0])), *ends))
    return 10**value if space["log"] else value


def _best(trials: list[dict[str, Any]]) -> dict[str, Any] | None:
    done = [trial for trial in trials if trial["state"] == "complete"]
    done = done or [trial for trial in trials if trial["score"] is not None]
    if not done:
        return None
    best = max(done, key=lambda trial: trial["score"])
    return {key: best[key] for key in ("number", "params", "score")}


def _models(
    results: dict[str, Any], arms: list[tuple[str, str | None, str]], teachers: list[str]
) -> list[dict[str, Any]]:
    """Return the models of these arms, with the scores of the drawn ones."""
    master, alone, taught = results["models"][:3]
    made = [{**master, "label": name, "model": name} for name in teachers]
    for index, (student, teacher, method) in enumerate(arms):
        label = _search((student, teacher, method))["label"]
        like = results["models"][2 + 2 * (index % 2)] if teacher else alone
        made.append(
            {**like, "label": label, "model": student, "teacher": teacher, "method": method}
        )
    assert taught["role"] == "student"
    return made


def _study(searches: list[dict[str, Any]], against: tuple[str, ...]) -> dict[str, Any]:
    done = [
        (search["label"], trial)
        for search in searches
        for trial in search["trials"]
        if trial["state"] == "complete"
    ]
    front = [
        {"label": label, **{key: trial[key] for key in ("number", "score", "costs")}}
        for label, trial in done
        if not any(_dominates(other, trial) for _, other in done)
    ]
    trials = [trial for search in searches for trial in search["trials"]]
    return {
        "sampler": "tpe",
        "scheduler": "asha",
        "select": "macro_f1",
        "against": list(against),
        "pareto": front if against else [],
        "study": "jobs/brain-mri/study.journal",
        "budget": {
            "trials": len(trials),
            "hours": 2.0,
            "gpu_hours": None,
            "min_trials": 2,
            "spent": {"trials": len(trials), "hours": 0.41, "gpu_hours": 0.0},
        },
        "earlier": 0,
    }


def _dominates(other: dict[str, Any], trial: dict[str, Any]) -> bool:
    costs = [(other["costs"][name], trial["costs"][name]) for name in trial["costs"]]
    no_worse = other["score"] >= trial["score"] and all(a <= b for a, b in costs)
    return no_worse and (other["score"] > trial["score"] or any(a < b for a, b in costs))


def _record(teacher: str) -> dict[str, Any]:
    return {
        "teacher": teacher,
        "views": VIEWS,
        "images": IMAGES,
        "teacher_images": IMAGES * VIEWS,
        "bytes": IMAGES * VIEWS * (16 + 6400),
        "columns": {
            "logits": {"bytes": IMAGES * VIEWS * 16},
            "maps": {"bytes": IMAGES * VIEWS * 6400},
        },
        "live": {},
        "seconds": 214.6,
    }
