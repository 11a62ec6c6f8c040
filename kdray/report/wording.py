"""What the numbers allow to be said, in sentences: headline, notes and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray.report import facts
from kdray.report.cells import fixed, interval, number, p_value, significant
from kdray.report.facts import SCORES, Model, Results


def headline(results: Results) -> tuple[str, ...]:
    """Return what the job found, one sentence each, computed from its numbers alone.

    The student is chosen on validation; the scores are those of the test split without leaking
    images where there is one.
    """
    split, best = facts.main_split(results), facts.best_student(results)
    if best is None:
        return ("This job has no student with a validation score.",)
    if split is None:
        return (f"{best['label']} is the best student on validation; there is no test split.",)
    said = [_reaches(results, best, split)]
    if best.get("teacher"):
        said += [_teacher(results, best, split), _difference(results, best, split)]
    else:
        said.append(_no_help(results, split))
    return tuple(sentence for sentence in said if sentence)


def registered(results: Results) -> str:
    """Return which version was registered, and whether the alias moved to it; empty: none."""
    found = results.get("promoted")
    if not found:
        return ""
    what = f"{found['label']} is version {found['version']} of {found['name']}"
    registry = str(found["registry"]).partition("?")[0]  # the rest may hold a secret
    where = f"in {registry} ({found['rule']})"
    if found.get("moved", True):
        return f"{what}, alias {found['alias']}, {where}."
    stays = f"stays at version {found['before']}" if found.get("before") else "points nowhere"
    return f"{what} {where}; the alias {found['alias']} {stays}: {found['why_not']}."


def split_note(results: Results, split: str) -> str:
    """Return which images a split holds."""
    total, clean = facts.num_images(results, split), facts.num_images(results, f"{split}_clean")
    images = f"{total:,} images" if total is not None else "number of images unknown"
    given = split.removesuffix("_clean")
    if given != split:
        return (
            f"Split {split} ({images}): the images of {given} without a companion (equal, "
            "nearly equal, or of the same patient or other group) in training or validation."
        )
    leak = (
        f", {total - clean:,} of them with a companion in training or validation"
        if total and clean
        else ""
    )
    return f"Split {split} ({images}{leak}): all its images, as the data set gives them."


def interval_notes(results: Results, split: str) -> tuple[str, ...]:
    """Return what the intervals of a split's scores are over, each kind that occurs."""
    found = [
        entry
        for model in results["models"]
        if (entry := facts.summary(model, split, facts.main_score(results)))
    ]
    level = f"{100 * results['confidence']:g}%"
    seeds = sorted({entry["n"] for entry in found if entry.get("over") == "seeds"})
    notes = []
    if [n for n in seeds if n > 1]:
        spread = ", ".join(str(n) for n in seeds if n > 1)
        notes.append(
            f"Brackets over seeds: {level} interval of the mean over n={spread} training runs "
            "with different seeds (Student t), always on these same images. A single further run "
            "varies more than its mean."
        )
    if 1 in seeds:
        notes.append(
            "Values without brackets come from one training run; their spread is unknown."
        )
    if any(entry.get("over") == "images" for entry in found):
        notes.append(
            f"Brackets over images: {level} bootstrap interval over the images of the split, for "
            "the models that were trained once. It says how the choice of test images moves the "
            "score; the chance of training is not in it."
        )
    if any((number(entry.get("high")) or 0) > 1 for entry in found):
        notes.append(
            "An interval may pass 1: Student's t does not know that the score ends there."
        )
    return tuple(notes)


def difference_note(results: Results, split: str) -> str:
    """Return what the differences against the student alone are, and their limits."""
    score = facts.main_score(results)
    found = [m for m in facts.distilled(results) if facts.against_alone(m, split, score)]
    if not found:
        return ""
    over = {
        (facts.against_alone(model, split, score) or {}).get("over", "seeds") for model in found
    }
    pairing = " and ".join(
        {"seeds": "paired by seed, two-sided t test", "images": "paired bootstrap over images"}[
            kind
        ]
        for kind in sorted(over)
        if kind in ("seeds", "images")
    )
    several = f" The {len(found)} p values are not corrected for multiple comparisons."
    return (
        f"Difference: {SCORES[score]} minus that of the same student without a teacher "
        f"({pairing}).{several if len(found) > 1 else ''}"
    )


def warnings(results: Results, split: str | None = None) -> tuple[str, ...]:
    """Return what a reader has to be warned of before using the numbers of a split.

    Args:
        results: The results of a job.
        split: The split; None: the one that conclusions are drawn from.
    """
    chosen = split or facts.main_split(results)
    if chosen is None:
        return ("There is no test split: nothing here says how a model does on unseen images.",)
    said = [_leak_warning(results), *_overlaps(results, chosen), _one_seed(results)]
    return tuple(sentence for sentence in said if sentence)


def score_of(results: Results, model: Model, split: str, score: str) -> str:
    """Return a model's score with its interval and what that is over, as text."""
    found = facts.summary(model, split, score)
    text = interval(found).text
    return f"{text} over {over(found)}" if found and found.get("low") is not None else text


def over(found: Mapping[str, Any] | None) -> str:
    """Return what an interval is over: ``3 seeds``, ``images`` or ``1 seed``."""
    if not found or number(found.get("mean")) is None:
        return "-"
    if found.get("over") == "images":
        return "images"
    return "1 seed" if found.get("n") == 1 else f"{found.get('n')} seeds"


def cost_ratios(teacher: Model, student: Model) -> dict[str, float | None]:
    """Return teacher over student of every cost; above 1: the student is cheaper."""
    keys = ("parameters", "macs", "latency_ms", "file_mb")
    return {key: _ratio(teacher, student, key) for key in keys}


def _reaches(results: Results, best: Model, split: str) -> str:
    score = facts.main_score(results)
    reached = score_of(results, best, split, score)
    total = facts.num_images(results, split)
    where = {
        "test_clean": "test images without a companion in training",
        "test": "test images",
    }.get(split, f"images of split {split}")
    counted = f"the {total:,} {where}" if total is not None else f"the {where}"
    chosen = "the student chosen on validation"
    return f"{best['label']}, {chosen}, reaches a {SCORES[score]} of {reached} on {counted}."


def _teacher(results: Results, best: Model, split: str) -> str:
    teacher = facts.teacher_of(results, best)
    if teacher is None:
        return ""
    ratios = cost_ratios(teacher, best)
    cheaper = [
        f"{verb} {significant(ratio)} times {less}"
        for key, verb, less in (
            ("parameters", "has", "fewer parameters"),
            ("macs", "needs", "fewer operations"),
            ("latency_ms", "answers", "faster"),
        )
        if (ratio := ratios[key]) is not None and ratio > 1
    ]
    reached = score_of(results, teacher, split, facts.main_score(results))
    costs = f"; the student {_listed(cheaper)}" if cheaper else "; the student is not cheaper"
    return f"Its teacher {teacher['label']} reaches {reached}{costs}."


def _difference(results: Results, model: Model, split: str) -> str:
    score = facts.main_score(results)
    alone, found = facts.alone_of(results, model), facts.against_alone(model, split, score)
    if alone is None:
        return "The job trained no student without a teacher, so the gain is not known."
    reached = score_of(results, alone, split, score)
    start = f"The same student without a teacher reaches {reached}"
    if found is None:
        return f"{start}; no paired difference could be computed."
    p = p_value(found.get("p")).text
    shown = f"{interval(found, sign=True).text}, p {p if p.startswith('<') else '= ' + p}"
    return f"{start}: the difference is {shown}, {_verdict(found)}."


def _verdict(found: Mapping[str, Any]) -> str:
    low, high = number(found.get("low")), number(found.get("high"))
    if low is None or high is None:
        return "without an interval, so chance is not excluded"
    if low > 0:
        return "and its interval lies above zero"
    if high < 0:
        return "and its interval lies below zero: the teacher did harm"
    return "and its interval contains zero, so a gain is not shown"


def _no_help(results: Results, split: str) -> str:
    best = facts.best_distilled(results)
    if best is None:
        return "No student of this job had a teacher."
    found = facts.against_alone(best, split, facts.main_score(results))
    differs = f" (difference {interval(found, sign=True).text})" if found else ""
    return (
        "It was trained without a teacher: on validation no distilled student was better. The "
        f"best distilled one is {best['label']}{differs}."
    )


def _leak_warning(results: Results) -> str:
    total, clean = facts.num_images(results, "test"), facts.num_images(results, "test_clean")
    if "test_clean" not in results["splits"] or total is None or clean is None or total == clean:
        return ""
    share = 100 * (total - clean) / total
    return (
        f"{total - clean:,} of the {total:,} test images ({fixed(share, 1).text}%) have a "
        "companion in training or validation: an equal or nearly equal image, or one of the same "
        "group. Scores on split test may be too high; draw conclusions from test_clean."
    )


def _overlaps(results: Results, split: str) -> list[str]:
    score = facts.main_score(results)
    said = []
    for model in facts.distilled(results):
        found = facts.against_alone(model, split, score)
        low, high = (number(found.get(end)) for end in ("low", "high")) if found else (None, None)
        if low is not None and high is not None and low <= 0 <= high:
            said.append(f"{model['label']} {interval(found, sign=True).text}")
    if not said:
        return []
    return [
        f"On {split} the interval of the difference in {SCORES[score]} against the student alone "
        f"contains zero for: {'; '.join(said)}. There a gain is not shown."
    ]


def _one_seed(results: Results) -> str:
    if all(len(model["runs"]) == 1 for model in facts.students(results)):
        return "Every student was trained once: the spread between training runs is not measured."
    return ""


def _ratio(teacher: Model, student: Model, key: str) -> float | None:
    above = number((teacher.get("cost") or {}).get(key))
    below = number((student.get("cost") or {}).get(key))
    return above / below if above and below else None


def _listed(items: list[str]) -> str:
    return " and ".join((", ".join(items[:-1]), items[-1])) if len(items) > 1 else items[0]
