"""Arms, and a search that is played without training: what a trial would score is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from kdray.run.study import Study
from kdray.run.trials import Record, SearchArm
from kdray.spec.experiment import Method, Search
from kdray.spec.space import Space

SPACES = {
    "alpha": Space(min=0.1, max=0.9),
    "T": Space(min=1, max=10, log=True),
    "learning_rate": Space(choices=(0.001, 0.01)),
}
DEFAULTS = {"alpha": 0.5, "T": 4.0, "learning_rate": 0.1, "labels": "cross_entropy"}


def arm(
    slug: str = "small-kd",
    method: str = "kd",
    spaces: Mapping[str, Space] | None = None,
    trials: int = 12,
    **costs: float,
) -> SearchArm:
    given = SPACES if spaces is None else spaces
    of = Method(name=method)
    return SearchArm(
        slug, f"{slug} by name", slug, "big", of, given, DEFAULTS, trials, dict(costs)
    )


def search(**fields: Any) -> Search:
    given = {"trials": 12, "scheduler": "none", "concurrent": 1, **fields}
    return Search.model_validate(given)


def score(params: Mapping[str, Any]) -> float:
    return float(1 - abs(params["alpha"] - 0.3) - 0.1 * abs(math.log(params.get("T", 2) / 2)))


def play(
    made: Study, trials: int = 1000, scored: Callable[[Record], float] | None = None
) -> list[Record]:
    """Run trials of three epochs one after the other, and return the records."""
    for _ in range(trials):
        record = made.ask()
        if record is None:
            break
        final = scored(record) if scored else score(record.params)
        for epoch in (1, 2, 3):
            if made.report(record.number, epoch, final * epoch / 3):
                made.tell(record.number, "pruned")
                break
        else:
            made.tell(record.number, "complete")
    return [made.records[number] for number in sorted(made.records)]
