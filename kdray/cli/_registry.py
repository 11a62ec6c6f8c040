"""How ``kdray registry`` shows versions, verdicts and histories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdray.cli._output import console, print_table

Facts = Mapping[str, Any]


def joined(items: Iterable[Any]) -> str:
    """Return items as text."""
    return ", ".join(str(item) for item in items)


def pairs(items: Facts) -> str:
    """Return a mapping as text."""
    return joined(f"{key}={value}" for key, value in items.items())


def show(facts: Facts) -> None:
    """Print all that is known of a version.

    Args:
        facts: Of ``Registry.describe``, with ``aliases`` and their ``history``.
    """
    from kdray.registry import serving_rows
    from kdray.registry.card import flat

    metrics = facts["metrics"]
    print_table(f"{facts['name']}, version {facts['version']}", ("field", "value"), _what(facts))
    if metrics.get("summary"):
        print_table("Scores", ("split", "score", "value"), _scores(metrics["summary"]))
    _show_explanations(metrics.get("explanations") or {})
    print_table("Served by", ("", ""), serving_rows.rows(facts.get("serving")))
    costs = {key: _grouped(value) for key, value in metrics.get("cost", {}).items()}
    for title, tree in (("Cost", costs), ("Lineage", facts["lineage"])):
        if tree:
            print_table(title, ("field", "value"), list(flat(tree)))
    for alias, moves in facts["history"].items():
        if any(move["version"] == facts["version"] for move in moves):
            show_history(f"Moves of {alias}", moves)


def require_of(**fields: Any) -> Any:
    """Return what is asked of a version, from options.

    Raises:
        JobError: A value is out of its range.
    """
    from pydantic import ValidationError

    from kdray.errors import JobError
    from kdray.spec.promote import Require

    try:
        return Require(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}"
        raise JobError(option, f"{first['msg'].lower()}, not {first['input']}.") from None


def verdict_facts(name: str, alias: str, verdict: Any, *, dry_run: bool) -> dict[str, Any]:
    """Return a verdict as JSON tells it."""
    return {
        "name": name,
        "version": verdict.version,
        "alias": alias,
        "before": verdict.before,
        "passed": verdict.passed,
        "moved": verdict.passed and not dry_run and verdict.version != verdict.before,
        "dry_run": dry_run,
        "why_not": verdict.why_not(),
        "conditions": verdict.facts(),
    }


def show_verdict(facts: Facts) -> None:
    """Print each condition, and what became of the alias."""
    name, alias, version, before = (facts[key] for key in ("name", "alias", "version", "before"))
    if facts["conditions"]:
        head = ("condition", "required", "measured", "")
        cells = [_condition(condition) for condition in facts["conditions"]]
        print_table(f"{name}, version {version}", head, cells)
        for condition in facts["conditions"]:
            told = f"{condition['name']}: {condition['on']}"
            console.print(told, style="dim", highlight=False, markup=False)
    stays = f"{alias} stays at version {before}" if before else f"{alias} points nowhere"
    if facts["dry_run"]:
        said = "would be moved" if facts["passed"] else "would not be moved"
        told = f"{alias} {said}; nothing was changed."
    elif facts["passed"]:
        told = f"{alias} is version {version}."
    else:
        failed = all(condition["passed"] for condition in facts["conditions"])
        told = f"{stays}: {facts['why_not']}" if failed else f"{stays}."
    console.print(f"{name}: {told}", highlight=False, markup=False)


def show_history(title: str, moves: Sequence[Facts]) -> None:
    """Print when an alias moved, the last move first."""
    cells = [
        (
            move["time"],
            move["action"],
            move["version"],
            move.get("reason", ""),
            joined(_reached(condition) for condition in move.get("conditions", ())),
        )
        for move in reversed(moves)
    ]
    print_table(title, ("time", "action", "version", "reason", "reached"), cells)


def _condition(condition: Facts) -> tuple[str, ...]:
    verdict = "passed" if condition["passed"] else "failed"
    measured = _measured(condition)
    return condition["name"], condition["required"], measured, verdict


def _reached(condition: Facts) -> str:
    return f"{condition['name']} {_measured(condition)} ({condition['required']})"


def _measured(condition: Facts) -> str:
    return "-" if condition["measured"] is None else f"{condition['measured']:.4g}"


def _what(facts: Facts) -> list[tuple[str, str]]:
    params = pairs(facts["model"]["params"])
    weights = facts["weights"]
    return [
        ("aliases", joined(a for a, n in facts["aliases"].items() if n == facts["version"])),
        ("model", f"{facts['model']['name']}{f' ({params})' if params else ''}"),
        ("id in its job", facts["id"]),
        ("trained as", facts["role"]),
        ("classes", joined(facts["classes"])),
        ("input", f"{facts['image_size']} x {facts['image_size']} x {facts['channels']}"),
        ("weights", f"{weights['bytes']:,} bytes, SHA-256 {weights['sha256'][:16]}"),
    ]


def _scores(summary: Facts) -> list[tuple[str, str, str]]:
    from kdray.registry.card import spread

    return [
        (split, score, spread(value))
        for split, scores in summary.items()
        for score, value in scores.items()
        if value is not None
    ]


def _show_explanations(explanations: Facts) -> None:
    from kdray.registry.explained import agreement_table, score_table, verdicts

    for title, (head, rows) in (
        ("Explanations", score_table(explanations)),
        ("Agreement with the teacher's maps", agreement_table(explanations)),
        ("Maps of randomised weights", (["method", "verdict"], list(verdicts(explanations)))),
    ):
        if rows:
            print_table(title, head, rows)


def _grouped(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
