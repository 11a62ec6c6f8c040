"""The report's section on the search: its plots, or sentences why there are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kdray.report import importance, landscape, search_charts
from kdray.report.cells import number
from kdray.report.facts import SCORES, Results
from kdray.report.trials import (
    FEWEST,
    Space,
    Trial,
    by_method,
    lower_is_better,
    spaces_of,
    trials_of,
)


@dataclass(frozen=True)
class Block:
    """A plot with its heading.

    Args:
        title: The heading.
        svg: The plot; None: there is none.
        text: Below the plot: how it is read. Without a plot: why there is none.
    """

    title: str
    svg: str | None
    text: str


def sentences(results: Results) -> tuple[str, ...]:
    """Return what was searched and how, for the head of the section."""
    trials = trials_of(results)
    states = [trial.state for trial in trials]
    said = [
        f"{_counted(len(trials), 'trial')} over "
        f"{_counted(len(results['searches']), 'combination')} of student, teacher and method: "
        f"{states.count('complete')} finished, {states.count('pruned')} stopped early, "
        f"{states.count('failed')} failed."
    ]
    study = results.get("search") or {}
    if study.get("sampler"):
        said.append(f"Sampler {study['sampler']}, scheduler {study.get('scheduler')}.")
    if study.get("earlier"):
        said.append(
            f"The sampler had learned from {study['earlier']} trials of an earlier search."
        )
    if study.get("study"):
        said.append(
            f"All trials lie in {study['study']} in the storage: kdray dashboard {results['job']} "
            "opens them."
        )
    return tuple(said)


def _counted(num: int, word: str) -> str:
    return f"{num:,} {word}{'' if num == 1 else 's'}"


def spent(results: Results) -> list[tuple[str, str]]:
    """Return what the search spent of its budget, as words and values."""
    budget = (results.get("search") or {}).get("budget") or {}
    known = [
        (name, number((budget.get("spent") or {}).get(name)), number(budget.get(name)))
        for name in ("trials", "hours", "gpu_hours")
    ]
    return [
        (name.replace("_", " "), _of(name, value, limit))
        for name, value, limit in known
        if value or limit
    ]


def _of(name: str, value: float | None, limit: float | None) -> str:
    style = ",.0f" if name == "trials" else ".2f"
    return f"{value or 0:{style}}" + (f" of {limit:{style}}" if limit else "")


def blocks(results: Results) -> Iterator[Block]:
    """Yield the plots of the search, in their order; nothing without trials."""
    trials = trials_of(results)
    if not trials:
        return
    parts = by_method(results)
    spaces = {method: spaces_of(results, members) for method, members in parts.items()}
    shares = _shares(results, parts, spaces)
    yield _history(results)
    yield _importance(parts, shares, _of_arms(results, trials))
    yield from _parallels(results, parts, spaces)
    yield _contours(results, parts, _leading(spaces, shares))
    if (results.get("search") or {}).get("against"):
        yield _pareto(results)


def _history(results: Results) -> Block:
    text = (
        "Dots: finished trials; crosses: the best score of trials that were stopped early. The "
        "pairs and methods that got furthest have a colour each."
    )
    return _block(
        "Course of the search",
        search_charts.history_chart(results, "history"),
        text,
        "not drawn, since it takes two trials with a score.",
    )


def _importance(
    parts: Mapping[str, Sequence[Trial]],
    shares: Mapping[str, Mapping[str, float] | None],
    arms: Mapping[str, float] | None,
) -> Block:
    found = {"Choice of the pair and method": arms} if arms else {}
    found |= {
        f"{method} ({sum(trial.complete for trial in parts[method])} finished trials)": share
        for method, share in shares.items()
        if share
    }
    text = (
        "Share of each choice in the spread of the scores of the finished trials (fANOVA: main "
        "effects in a random forest, divided by their sum). The first panel looks at the pair and "
        "method alone; the others at one method, its pairs and settings. A share is of the space "
        "that was searched: a narrow range makes a setting unimportant."
    )
    missing = [method for method, share in shares.items() if not share]
    if missing:
        text += f" Not for {', '.join(missing)}, since {_too_few()}."
    return _block(
        "Importance",
        search_charts.importance_chart(found, "importance"),
        text,
        f"not computed, since {_too_few()}.",
    )


def _too_few() -> str:
    return f"it takes {FEWEST} finished trials with different scores, and two choices to compare"


def _parallels(
    results: Results,
    parts: Mapping[str, Sequence[Trial]],
    spaces: Mapping[str, Mapping[str, Space]],
) -> Iterator[Block]:
    """Yield a plot a method; methods with too few trials share one sentence."""
    score = f"validation {SCORES[results['select']]}"
    lower = lower_is_better(results)
    missing = []
    text = (
        "A line is a finished trial: the stronger its colour, the better its score; the thick one "
        "is the best."
    )
    for index, (method, trials) in enumerate(parts.items()):
        name = f"parallel{index}"
        drawn = landscape.parallel_chart(trials, spaces[method], score, name, lower=lower)
        if drawn is None:
            missing.append(method)
        else:
            yield Block(f"Settings and scores: {method}", drawn, text)
    if missing:
        why = f"not drawn, since {_few_scores()}."
        yield Block(f"Settings and scores of {', '.join(missing)}", None, why)


def _contours(
    results: Results,
    parts: Mapping[str, Sequence[Trial]],
    leading: Mapping[str, Mapping[str, Space]],
) -> Block:
    panels = {method: (parts[method], spaces) for method, spaces in leading.items()}
    drawn = landscape.contour_chart(
        panels, SCORES[results["select"]], "contour", lower=lower_is_better(results)
    )
    text = (
        "The two most important settings of each method. Colour: the mean score of the trials "
        "nearby, stronger is better; blank: no trial was near. Dots are trials, the ring is the "
        "best. Where a method has several pairs, the median of each pair's trials is taken off, "
        "so that the picture shows the settings and not the pairs."
    )
    return _block("The most important settings", drawn, text, f"not drawn, since {_few_scores()}.")


def _few_scores() -> str:
    return f"it takes {FEWEST} finished trials with different scores"


def _pareto(results: Results) -> Block:
    text = (
        "Finished trials; rings: the Pareto front, trials that no other one beats in score "
        "without a higher cost. With several costs a trial may be on the front for another cost."
    )
    return _block(
        "Score against cost of the trials",
        search_charts.pareto_chart(results, "pareto"),
        text,
        "not drawn, since no finished trial has both a score and its costs.",
    )


def _block(title: str, svg: str | None, text: str, missing: str) -> Block:
    return Block(title, svg, missing if svg is None else text)


def _shares(
    results: Results,
    parts: Mapping[str, Sequence[Trial]],
    spaces: Mapping[str, Mapping[str, Space]],
) -> dict[str, dict[str, float] | None]:
    lower = lower_is_better(results)
    return {
        method: importance.importances(trials, spaces[method], lower=lower)
        for method, trials in parts.items()
    }


def _of_arms(results: Results, trials: Sequence[Trial]) -> dict[str, float] | None:
    taught = [trial for trial in trials if trial.teacher]  # else teacher and method are one choice
    return importance.importances(taught or trials, {}, lower=lower_is_better(results))


def _leading(
    spaces: Mapping[str, Mapping[str, Space]], shares: Mapping[str, Mapping[str, float] | None]
) -> dict[str, dict[str, Space]]:
    """Return the two most important settings of each method; the first two where not known.

    Choices are taken only where there are not two ranges: nothing lies between them.
    """
    found: dict[str, dict[str, Space]] = {}
    for method, own in spaces.items():
        ranked = [name for name in shares[method] or () if name in own]
        ranked += [name for name in own if name not in ranked]
        ranked.sort(key=lambda name: bool(own[name].get("choices")))
        found[method] = {name: own[name] for name in ranked[:2]}
    return found
