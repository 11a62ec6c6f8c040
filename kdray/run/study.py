"""The search of a job as one study over all arms, which can be rebuilt from its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdray.plan.spaces import combinations
from kdray.run.pruning import Pruning
from kdray.run.samplers import Proposer
from kdray.run.trials import Record, SearchArm, best_of, closed, pareto_of
from kdray.spec.experiment import Search


class Study:
    """Says which trial comes next, which stops, and which is best.

    Each arm in turn gets its least number of trials, so that all advance together; the sampler
    gives the others to the arms that promise most. The next trial depends only on the trials
    before it, so a study that is rebuilt from records asks as one that was never interrupted.

    Args:
        arms: What is searched.
        search: Numbers of trials, sampler, scheduler and seed.
        select: The score; a loss is minimised, others are maximised.
        epochs: Epochs of a trial.
        earlier: Trials of an earlier search, from which the sampler learns as well.
    """

    def __init__(
        self,
        arms: Sequence[SearchArm],
        search: Search,
        select: str,
        epochs: int,
        earlier: Sequence[Record] = (),
    ) -> None:
        self.arms = {arm.slug: arm for arm in arms}
        self.total = sum(arm.trials for arm in arms)
        self.records: dict[int, Record] = {}
        self.running: dict[int, Record] = {}
        self._search = search
        self._select = select
        self._epochs = epochs
        self._earlier = [replace(item, costs=dict(self.arms[item.arm].costs)) for item in earlier]
        self._waiting: list[Record] = []
        self._values: dict[int, list[float]] = {}
        self._proposer = Proposer(arms, search, select)
        self._pruning = Pruning(arms, search, select, epochs)
        self._grids = {arm.slug: _grid(arm) for arm in arms} if search.sampler == "grid" else {}

    def restore(self, records: Iterable[Record]) -> None:
        """Add trials of before an interruption; those that ran then are given out first."""
        for record in sorted(records, key=lambda item: item.number):
            if record.state == "running":
                self._waiting.append(record)
                self._pruning.open(record)
            else:
                self.records[record.number] = record
                self._pruning.restore(record)

    def ask(self, spent: bool = False) -> Record | None:
        """Return the next trial, or None when none is left.

        Args:
            spent: Whether the budget is: no arm gets more than its least number.

        Raises:
            RunError: A method refuses what is drawn from its spaces.
        """
        if self._waiting:
            record = self._waiting.pop(0)
        else:
            found = self._next(spent)
            if found is None:
                return None
            record = found
            self._pruning.open(record)
        self.running[record.number] = record
        self._values[record.number] = []
        return record

    def is_over(self, spent: bool = False) -> bool:
        """Return whether no trial runs and none is left."""
        left = self._due(spent) is not None or self._is_free(spent)
        return not (self.running or self._waiting or left)

    def seen(self, number: int) -> int:
        """Return how many epochs of a running trial have been reported."""
        return len(self._values[number])

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take the score of an epoch (from 1), and return whether the trial should stop.

        After its last epoch there is nothing to save, and no trial is stopped.
        """
        self._values[number].append(value)
        stop = self._pruning.report(number, epoch, value)
        return stop and epoch < self._epochs

    def tell(self, number: int, state: str, error: str = "", seconds: float = 0.0) -> Record:
        """Close a trial and return its record."""
        values = self._values.pop(number)
        record = closed(self.running.pop(number), values, state, error, self._select)
        record = replace(record, seconds=round(seconds, 3))
        attrs = {**record.attrs, **self._pruning.close(record)}
        self.records[number] = replace(record, attrs=attrs)
        return self.records[number]

    def of(self, slug: str) -> list[Record]:
        """Return the finished trials of an arm, in order."""
        return [record for _, record in sorted(self.records.items()) if record.arm == slug]

    def best(self, slug: str) -> Record | None:
        """Return the best trial of an arm that ran to its end; the earlier one of equals."""
        return best_of(self.of(slug), self._select)

    def pareto(self) -> list[Record]:
        """Return the trials that no other beats in score and costs; none without costs."""
        return pareto_of(list(self.records.values()), self._select) if self._search.against else []

    def _next(self, spent: bool) -> Record | None:
        taken = self._taken()
        number = next(index for index in range(len(taken) + 1) if index not in taken)
        # In the order of a rebuilt study, in which the finished ones of later numbers come first.
        tried = [*self._earlier, *(taken[index] for index in sorted(taken))]
        arm = self._due(spent)
        if arm is not None:
            params, notes = self._within(arm, number, tried)
        elif self._is_free(spent):
            arm, params, notes = self._proposer.anywhere(number, tried)
        else:
            return None
        return Record(number, arm.slug, params, costs=dict(arm.costs), attrs=notes)

    def _within(
        self, arm: SearchArm, number: int, tried: Sequence[Record]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        own = [record for record in self._taken().values() if record.arm == arm.slug]
        if self._grids:
            used = [record.params for record in own]
            return next(item for item in self._grids[arm.slug] if item not in used), {}
        return self._proposer.within(arm, number, tried, {} if own else arm.first())

    def _due(self, spent: bool) -> SearchArm | None:
        """Return the arm that is furthest behind, if one lacks trials."""
        counts = self._counts()
        limit = {slug: self._least(arm) for slug, arm in self.arms.items()}
        if self._grids and not spent and all(counts[slug] >= limit[slug] for slug in limit):
            limit = {slug: arm.trials for slug, arm in self.arms.items()}
        behind = [slug for slug in self.arms if counts[slug] < limit[slug]]
        return self.arms[min(behind, key=lambda slug: counts[slug])] if behind else None

    def _is_free(self, spent: bool) -> bool:
        """Return whether the sampler may give out a trial."""
        return not (spent or self._grids) and len(self._taken()) < self.total

    def _least(self, arm: SearchArm) -> int:
        least, found = self._search.min_trials, self.of(arm.slug)
        failed = found and all(record.state == "failed" for record in found)
        # No arm is given up for the failure of its first trials.
        return arm.trials if least is None or failed else min(least, arm.trials)

    def _counts(self) -> Mapping[str, int]:
        taken = [record.arm for record in self._taken().values()]
        return {slug: taken.count(slug) for slug in self.arms}

    def _taken(self) -> dict[int, Record]:
        waiting = {record.number: record for record in self._waiting}
        return {**self.records, **self.running, **waiting}


def _grid(arm: SearchArm) -> list[dict[str, Any]]:
    """Return every combination of an arm, the method's defaults first where they are one."""
    found = combinations(arm.method, arm.spaces)
    first = [params for params in found if params == arm.first()]
    return first + [params for params in found if params not in first]
