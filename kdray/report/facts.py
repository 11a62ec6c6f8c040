"""What the results say of their models: which is whose baseline, and what to look at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray.report.cells import number

Results = Mapping[str, Any]
Model = Mapping[str, Any]

#: Score -> how a table calls it.
SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "ece": "ECE",
    "loss": "cross-entropy",
}


def students(results: Results) -> list[Model]:
    """Return the students, in the order of the results."""
    return [model for model in results["models"] if model["role"] == "student"]


def distilled(results: Results) -> list[Model]:
    """Return the students that had a teacher."""
    return [model for model in students(results) if model.get("teacher")]


def teacher_of(results: Results, model: Model) -> Model | None:
    """Return the teacher that a student learned from, or None."""
    return _first(results, role="teacher", model=model.get("teacher"))


def alone_of(results: Results, model: Model) -> Model | None:
    """Return the student's baseline: by default itself without a teacher; None: not measured."""
    baseline = model.get("baseline") or model["model"]
    return _first(results, role="student", model=baseline, method="none")


def validation(model: Model, score: str) -> float | None:
    """Return the mean validation score of a model's runs, or None where it is not known."""
    found = [number(run.get("validation", {}).get(score)) for run in model["runs"]]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def best_student(results: Results) -> Model | None:
    """Return the promoted student, or else the best one on validation; the test has no say."""
    label = (results.get("promoted") or {}).get("label")
    named = next((model for model in students(results) if model["label"] == label), None)
    return named or _best(students(results), results["select"])


def best_distilled(results: Results) -> Model | None:
    """Return the best student with a teacher, on validation."""
    return _best(distilled(results), results["select"])


def main_split(results: Results) -> str | None:
    """Return the split that conclusions are drawn from: the test without leaking images."""
    splits = list(results["splits"])
    for name in ("test_clean", "test"):
        if name in splits:
            return name
    return splits[0] if splits else None


def ordered_splits(results: Results) -> list[str]:
    """Return the splits that were scored, the one that conclusions are drawn from first."""
    first = main_split(results)
    return sorted(results["splits"], key=lambda name: name != first)


def main_score(results: Results) -> str:
    """Return the score that conclusions are drawn from: the job's own, macro F1 for a loss."""
    return "macro_f1" if results["select"] == "loss" else str(results["select"])


def summary(model: Model, split: str, score: str) -> Mapping[str, Any] | None:
    """Return mean and interval of a model's score, or None where it is not defined."""
    found: Mapping[str, Any] | None = (model.get("summary", {}).get(split) or {}).get(score)
    return found


def against_alone(model: Model, split: str, score: str) -> Mapping[str, Any] | None:
    """Return the paired difference to the student alone, or None where there is none."""
    found: Mapping[str, Any] | None
    found = ((model.get("against_alone") or {}).get(split) or {}).get(score)
    return found if found and number(found.get("mean")) is not None else None


def num_images(results: Results, split: str) -> int | None:
    """Return how many images a split has, by the supports of its classes."""
    for model in results["models"]:
        for run in model["runs"]:
            classes = (run.get("scores", {}).get(split) or {}).get("per_class", {})
            if classes:
                return sum(int(scores["support"]) for scores in classes.values())
    return None


def _first(results: Results, **wanted: str | None) -> Model | None:
    for model in results["models"]:
        if all(model.get(key) == value for key, value in wanted.items()):
            found: Model = model
            return found
    return None


def _best(models: list[Model], select: str) -> Model | None:
    scored = [
        (score, model) for model in models if (score := validation(model, select)) is not None
    ]
    if not scored:
        return None
    sign = -1 if select == "loss" else 1
    return max(scored, key=lambda item: sign * item[0])[1]
