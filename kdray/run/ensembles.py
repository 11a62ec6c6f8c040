"""What an ensemble answers and costs, from what its members do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdray import measure

#: Costs that add up; those of other names are alike or unknown.
_ADDED = ("parameters", "macs", "macs_ptflops", "latency_ms", "file_mb")

Seen = Mapping[str, Mapping[str, Any]]


def mean_of(members: Sequence[Seen], classes: Sequence[str]) -> dict[str, Any]:
    """Return logits, labels and scores of the mean of the members' logits, split by split.

    Args:
        members: ``logits`` and ``labels`` of each, split by split.
        classes: Names of the classes.
    """
    labels = members[0]["labels"]
    logits = {
        split: np.stack([member["logits"][split] for member in members]).mean(axis=0)
        for split in labels
    }
    scores = {split: measure.scores(logits[split], labels[split], classes) for split in labels}
    return {"logits": logits, "labels": labels, "scores": scores}


def sum_of(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what it costs to ask all members, one after the other."""
    found = dict(costs[0])
    for name in set(_ADDED).intersection(found):
        values = [cost[name] for cost in costs]
        found[name] = None if None in values else sum(values)
    return found
