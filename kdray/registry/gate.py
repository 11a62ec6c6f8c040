"""What a version must reach before an alias moves to it, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kdray.errors import RegistryError
from kdray.registry.aliases import CHAMPION
from kdray.registry.duel import Duel, duel
from kdray.registry.serving import read_serving
from kdray.registry.versions import Pointed, Registry
from kdray.spec.promote import Require


@dataclass(frozen=True)
class Condition:
    """What was asked of a version, and what it reached.

    Args:
        name: Field of ``promote.require``.
        required: What was asked, in words.
        measured: What it reached; None: not known.
        passed: Whether that is enough.
        on: What it was measured on, or why it is not known.
    """

    name: str
    required: str
    measured: float | None
    passed: bool
    on: str

    def text(self) -> str:
        """Return the condition as a sentence's part."""
        value = "not known" if self.measured is None else f"{self.measured:.4g}"
        return f"{self.name} is {value}, required {self.required} ({self.on})"


@dataclass(frozen=True)
class Verdict:
    """Whether an alias may move to a version.

    Args:
        version: The version.
        before: Version that the alias pointed at; 0: none.
        conditions: All that was asked.
        refused: Why it did not move although all was reached; empty where that is not so.
    """

    version: int
    before: int
    conditions: tuple[Condition, ...]
    refused: str = ""

    @property
    def passed(self) -> bool:
        """Whether all was reached."""
        return not self.refused and all(condition.passed for condition in self.conditions)

    def why_not(self) -> str:
        """Return why it did not pass; empty where it did."""
        failed = [condition.text() for condition in self.conditions if not condition.passed]
        return self.refused or "; ".join(failed)

    def facts(self) -> list[dict[str, Any]]:
        """Return the conditions as JSON holds them."""
        return [asdict(condition) for condition in self.conditions]


def judge(
    registry: Registry,
    name: str,
    version: int,
    require: Require,
    alias: str = CHAMPION,
    since: Pointed | None = None,
) -> Verdict:
    """Return whether a version reaches what is asked; nothing moves.

    Args:
        registry: The registry.
        name: Name of the model.
        version: Number of the version.
        require: What is asked.
        alias: The alias whose version has to be beaten, if that is asked.
        since: Where it points; None: where it points now.

    Raises:
        RegistryError: There is no such version, or it is damaged.
    """
    facts = registry.describe(name, registry.resolve(name, str(version)))
    before = (since or registry.pointed(name, alias)).version
    conditions = list(_limits(registry, facts, require))
    if require.beats_champion:
        conditions.append(_beats(registry, name, version, before, require.confidence))
    return Verdict(version, before, tuple(conditions))


def promote_if(
    registry: Registry,
    name: str,
    version: int,
    require: Require,
    alias: str = CHAMPION,
    reason: str = "",
) -> Verdict:
    """Let an alias point at a version that reaches what is asked; return the verdict.

    The alias moves only if it still points at the version that was beaten.

    Args:
        registry: The registry.
        name: Name of the model.
        version: Number of the version.
        require: What is asked.
        alias: The alias.
        reason: Why, for its history.

    Raises:
        RegistryError: There is no such version, or it is damaged.
    """
    since = registry.pointed(name, alias)
    verdict = judge(registry, name, version, require, alias, since)
    if not verdict.passed:
        return verdict
    note = {"reason": reason, "conditions": verdict.facts()}
    try:
        registry.promote(name, version, alias, note=note, since=since)
    except RegistryError as error:
        return Verdict(version, since.version, verdict.conditions, refused=error.sentence())
    return verdict


def _limits(registry: Registry, facts: Mapping[str, Any], require: Require) -> Iterator[Condition]:
    """Yield the conditions that look at the version alone."""
    if require.min_macro_f1 is not None:
        value, on = _macro_f1(registry, facts)
        yield _at_least("min_macro_f1", require.min_macro_f1, value, on)
    if require.max_latency_ms is not None:
        value, on = _latency(facts["metrics"].get("cost") or {})
        limit = require.max_latency_ms
        passed = value is not None and value <= limit
        yield Condition("max_latency_ms", f"at most {limit:g}", value, passed, on)
    if require.min_agreement is not None:
        value, on = _agreement(facts["metrics"].get("explanations") or {})
        yield _at_least("min_agreement", require.min_agreement, value, on)


def _at_least(name: str, limit: float, value: float | None, on: str) -> Condition:
    passed = value is not None and value >= limit
    return Condition(name, f"at least {limit:g}", value, passed, on)


def _macro_f1(registry: Registry, facts: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return macro F1 on the validation split; where that was not kept, on the test split."""
    metrics = facts["metrics"]
    value = (metrics.get("validation") or {}).get("macro_f1")
    if value is not None:
        return float(value), "validation split"
    answers = _answers(registry, facts)
    if answers is not None:
        from kdray.measure import validation_scores  # loads torch

        scores = validation_scores(answers["logits"], answers["labels"])
        return scores["macro_f1"], "validation split"
    for split, scores in (metrics.get("summary") or {}).items():
        mean = ((scores or {}).get("macro_f1") or {}).get("mean")
        if mean is not None:
            return float(mean), f"{split} split: no score on the validation split is kept"
    return None, "no score is kept with it"


def _latency(cost: Mapping[str, Any]) -> tuple[float | None, str]:
    value = cost.get("latency_ms")
    if value is None:
        return None, "no latency is kept with it"
    threads = f", threads: {cost['threads']}" if cost.get("threads") else ""
    return float(value), f"one image{threads}; as its job measured it"


def _agreement(explanations: Mapping[str, Any]) -> tuple[float | None, str]:
    for row in explanations.get("agreement") or ():
        mean = ((row.get("all") or {}).get("pearson") or {}).get("mean")
        if mean is not None:
            teacher = row.get("teacher") or "its teacher"
            return float(mean), f"maps of {row['method']}, with {teacher}"
    return None, "no agreement with a teacher is kept with it"


def _beats(
    registry: Registry, name: str, version: int, champion: int, confidence: float
) -> Condition:
    """Return whether a version is better than another on the images both were validated on."""
    required = f"lower end above 0 ({confidence:.0%})"
    if champion in (0, version):
        said = "there is no champion yet" if champion == 0 else "it is the champion"
        return Condition("beats_champion", required, None, True, said)
    found = _duel(registry, name, version, champion, confidence)
    if isinstance(found, str):
        return Condition("beats_champion", required, None, False, found)
    on = (
        f"macro F1 minus that of version {champion}: {found.mean:+.3f} "
        f"[{found.low:+.3f}, {found.high:+.3f}] on {found.images} validation images of both"
    )
    return Condition("beats_champion", required, found.low, found.low > 0, on)


def _duel(
    registry: Registry, name: str, version: int, champion: int, confidence: float
) -> Duel | str:
    ours, theirs = (registry.describe(name, number) for number in (version, champion))
    if ours["classes"] != theirs["classes"]:
        return f"version {champion} has other classes"
    found = [_answers(registry, facts) for facts in (ours, theirs)]
    if found[0] is None or found[1] is None:
        missing = version if found[0] is None else champion
        return f"version {missing} keeps no answers to its validation images"
    return duel(found[0], found[1], confidence)


def _answers(registry: Registry, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a version said of its validation images."""
    if facts.get("serving") is None:
        return None
    return read_serving(registry.fetch(facts["name"], facts["version"])).read_validation()
