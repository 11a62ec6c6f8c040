"""The driver's side of a search, whoever runs its trials: what runs, what is kept of it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kdray.errors import RunError
from kdray.run.budget import Budget
from kdray.run.mirror import Mirror
from kdray.run.study import Study
from kdray.run.training import Assignment
from kdray.run.trials import Record, SearchArm, best_of
from kdray.spec.experiment import Search
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]

#: What was spent is written at most so often between trials, seconds.
_SAVE_S = 30.0


@dataclass(frozen=True)
class Searching:
    """The search of a job.

    Args:
        path: Where its result lies in the storage.
        key: Names its trials in the storage.
        step: Id of its step.
        job: Name of the job.
        arms: What is searched.
        runs: Slug of an arm -> the training run of its trials, their settings to be filled in.
        search: Its settings.
        select: The score; a loss is minimised, others are maximised.
        epochs: Epochs of a trial.
        gpus: GPUs, or the part of one, of a trial.
        earlier: Trials of an earlier search.
    """

    path: str
    key: str
    step: str
    job: str
    arms: Sequence[SearchArm]
    runs: Mapping[str, Assignment]
    search: Search
    select: str
    epochs: int
    gpus: float = 0.0
    earlier: Sequence[Record] = field(default_factory=tuple)

    @property
    def journal(self) -> str:
        """Name of the journal in the storage."""
        return f"jobs/{self.job}/study.journal"


class Board:
    """Gives out trials, takes their scores and keeps what they found.

    Every trial is stored when it is given out and when it ends. A runner calls ``next``,
    ``report`` and ``done`` with a name of its own for each trial, from any thread::

        board.restore()
        while (work := board.next(name)) is not None: ...
        board.close()

    Args:
        searching: The search.
        store: The storage.
        tell: Takes events.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        searching: Searching,
        store: Store,
        tell: Tell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own = searching
        self.searching = own
        self._store = store
        self._tell = tell
        self._clock = clock
        self._alone = threading.RLock()
        self._study = Study(own.arms, own.search, own.select, own.epochs, own.earlier)
        labelled = (own.journal, own.job, own.arms, own.select, own.search.against)
        self._mirror = Mirror(store, *labelled)
        self._budget = Budget(clock=clock)
        self._saved = 0.0
        self._running: dict[str, tuple[int, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to pickle: Tune keeps copies for its own resuming, which is not used."""
        return {}

    def restore(self) -> int:
        """Read the trials of before an interruption; return how many may be left at most."""
        own, limits = self.searching, self.searching.search
        spent = self._store.read_json(f"work/{own.key}/spent.json")
        self._budget = Budget(limits.hours, limits.gpu_hours, own.gpus, spent, self._clock)
        names = self._store.list(f"work/{own.key}")
        found = [
            self._store.read_json(f"work/{own.key}/{name}")
            for name in names
            if name.startswith("trial-") and name.endswith(".json")
        ]
        records = [Record(**item) for item in found if item]
        self._study.restore(records)
        self._mirror.rebuild(records)
        if limits.warm_start is not None:
            count = len(own.earlier)
            text = f"the sampler learns from {count} trials of {limits.warm_start}"
            self._tell({"kind": "note", "step": own.step, "text": text})
        self._finish()
        return 0 if self.is_over else self._study.total - len(self._study.records)

    @property
    def is_over(self) -> bool:
        """Whether no trial runs and none is left."""
        return self._study.is_over(self._budget.is_spent)

    def next(self, name: str) -> Assignment | None:
        """Return the training run of the next trial, or None when all are given out.

        Raises:
            RunError: A method refuses what is drawn from its spaces.
        """
        with self._alone:
            self._tick()
            record = self._study.ask(self._budget.is_spent)
            if record is None:
                return None
            self._keep(record)
            self._mirror.began(record)
            self._running[name] = (record.number, self._clock())
            self._say(record)
            return self._filled(record)

    def report(self, name: str, epoch: int, score: float) -> bool:
        """Take the score of an epoch (from 1), and return whether the trial should stop."""
        with self._alone:
            if name not in self._running:
                return False
            number, _ = self._running[name]
            if self._study.seen(number) >= epoch:
                return False  # told again by a trial that was restarted
            self._tick()
            self._mirror.reported(number, epoch, score)
            return self._study.report(number, epoch, score)

    def done(self, name: str, state: str, error: str = "") -> None:
        """Store a finished trial, and the search's result when it was the last.

        Args:
            name: The runner's name for it.
            state: ``complete``, ``pruned`` or ``failed``.
            error: Why it failed.
        """
        with self._alone:
            if name not in self._running:
                return
            self._tick()
            number, began = self._running.pop(name)
            record = self._study.tell(number, state, error, self._clock() - began)
            self._keep(record)
            self._save()
            self._store.delete(f"work/{self._checkpoint(record)}")
            self._mirror.ended(record)
            self._say(record)
            self._finish()

    def close(self) -> None:
        """Check that there is a result.

        Raises:
            RunError: There is none.
        """
        self._mirror.close()
        if self._store.result(self.searching.path) is not None:
            return
        if not self.is_over:
            raise RunError("search", "it was cut short.", "Run it again.")
        for arm in self.searching.arms:
            if self._study.best(arm.slug) is None:
                # Kept, the failures would count as finished trials, and no run could mend it.
                failed = self._study.of(arm.slug)
                for record in failed:
                    self._store.delete(self._file(record))
                last = failed[-1].error.rstrip(".")
                problem = f"every trial of the search failed; the last: {last}."
                raise RunError(arm.label, problem, "Mend it and run again.")

    def _finish(self) -> None:
        own, arms = self.searching, self.searching.arms
        best = {arm.slug: self._study.best(arm.slug) for arm in arms}
        if not self.is_over or None in best.values() or self._store.result(own.path):
            return
        with self._store.publish(own.path, self._result()):
            pass
        for name in self._store.list("work"):
            if name.split("-")[0] == own.key:
                self._store.delete(f"work/{name}")
        self._tell({"kind": "search_finished", "step": own.step})

    def _result(self) -> dict[str, Any]:
        own, search = self.searching, self.searching.search
        labels = {arm.slug: arm.label for arm in own.arms}
        front = [
            {
                "label": labels[item.arm],
                "number": item.number,
                "score": item.score,
                "costs": item.costs,
            }
            for item in self._study.pareto()
        ]
        limits = {"trials": self._study.total, **self._budget.limits()}
        spent = {"trials": len(self._study.records), **self._budget.as_json()}
        return {
            "arms": {arm.slug: self._found(arm) for arm in own.arms},
            "objectives": [own.select, *search.against],
            "sampler": search.sampler,
            "scheduler": search.scheduler,
            "pareto": front,
            "budget": {**limits, "min_trials": search.min_trials, "spent": spent},
            "earlier": len(own.earlier),
        }

    def _found(self, arm: SearchArm) -> dict[str, Any]:
        best = self._study.best(arm.slug)
        chosen = {} if best is None else {key: getattr(best, key) for key in _CHOSEN}
        return {
            "label": arm.label,
            "student": arm.student,
            "teacher": arm.teacher,
            "method": arm.method.name,
            "spaces": {key: space.model_dump(mode="json") for key, space in arm.spaces.items()},
            "trials": [asdict(record) for record in self._study.of(arm.slug)],
            "best": chosen,
        }

    def _filled(self, record: Record) -> Assignment:
        """Return the training run of a trial."""
        run = self.searching.runs[record.arm]
        settings = dict(record.params)
        rate = settings.pop("learning_rate", run.train.learning_rate)
        name, fixed = run.method or ("none", {})
        label = self._study.arms[record.arm].label
        return replace(
            run,
            key=self._checkpoint(record),
            label=f"{label} trial {record.number + 1}/{self._study.total}",
            train=run.train.model_copy(update={"learning_rate": float(rate)}),
            method=(name, {**fixed, **settings}),
        )

    def _file(self, record: Record) -> str:
        return f"work/{self.searching.key}/trial-{record.number:05d}.json"

    def _checkpoint(self, record: Record) -> str:
        """Return the name of a trial's checkpoints.

        It holds the settings: no trial goes on from weights that others made.
        """
        text = json.dumps([record.arm, record.params], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.searching.key}-{record.number}-{digest}"

    def _keep(self, record: Record) -> None:
        self._store.write_json(self._file(record), asdict(record))

    def _tick(self) -> None:
        self._budget.tick(len(self._running))
        if self._clock() - self._saved > _SAVE_S:
            self._save()

    def _save(self) -> None:
        self._saved = self._clock()
        self._store.write_json(f"work/{self.searching.key}/spent.json", self._budget.as_json())

    def _say(self, record: Record) -> None:
        own, records = self.searching, list(self._study.records.values())
        best = best_of(records, own.select)
        arm = self._study.arms[record.arm]
        facts = {
            "run": arm.label,
            "number": record.number,
            "trials": self._study.total,
            "done": len(records),
            "state": record.state,
            "score": record.score,
            "params": record.params,
            "metric": own.select,
            "best": None if best is None else best.score,
            "best_run": None if best is None else self._study.arms[best.arm].label,
        }
        self._tell({"kind": "trial", "step": own.step, **facts})


#: What is said of the best trial.
_CHOSEN = ("number", "params", "score", "costs")
