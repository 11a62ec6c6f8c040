"""The search: Ray Tune runs the trials, an Optuna study for each arm chooses and stops them."""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from kdray.errors import KdrayError, RunError
from kdray.learn import Epoch, World
from kdray.run import training
from kdray.run.relay import Relay
from kdray.run.session import Share
from kdray.run.study import Record, Study
from kdray.run.training import Assignment
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ArmSearch:
    """A search to run.

    Args:
        path: Where its result lies in the storage.
        key: Names its finished trials in the storage.
        label: What people call it.
        step: Id of its step.
        trials: How many trials it has.
        study: Chooses and stops its trials.
        trial: The training run of a trial, its settings to be filled in.
    """

    path: str
    key: str
    label: str
    step: str
    trials: int
    study: Study
    trial: Assignment


def run_searches(  # noqa: PLR0913 - each is a fact that only the caller knows
    arms: Sequence[ArmSearch],
    store: Store,
    relay: Relay,
    tell: Tell,
    share: Share,
    concurrent: int,
    scratch: str = "work/ray",
) -> None:
    """Run the trials of all arms in one Tune run, with actors that are reused.

    Each finished trial is stored at once; after an interruption only the others run.

    Args:
        arms: The searches, in order.
        store: The storage.
        relay: Takes the workers' events.
        tell: Takes the driver's events.
        share: What each trial gets.
        concurrent: Trials at once.
        scratch: Folder in the storage for Ray's own files, of this driver alone; removed.

    Raises:
        RunError: Every trial of an arm failed.
    """
    board = _Board(arms, store, tell)
    missing = board.restore()
    if missing:
        trainable = tune.with_parameters(
            _trial, store=store.uri, relay=relay, device=share.device, threads=share.threads
        )
        tuner = tune.Tuner(
            tune.with_resources(trainable, share.as_ray()),
            tune_config=tune.TuneConfig(
                search_alg=_Asker(board),
                scheduler=_Stopper(board),
                num_samples=missing,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=store.uri_of(scratch),
                failure_config=tune.FailureConfig(max_failures=2),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            store.delete(scratch)
    board.close()


class _Board:
    """Which trials are running and finished; the driver's side of the search."""

    def __init__(self, arms: Sequence[ArmSearch], store: Store, tell: Tell) -> None:
        self.arms = arms
        self._store = store
        self._tell = tell
        self._running: dict[str, tuple[ArmSearch, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to pickle: Tune keeps copies for its own resuming, which is not used."""
        return {}

    def restore(self) -> int:
        """Read the finished trials, and return how many are missing."""
        for arm in self.arms:
            names = self._store.list(f"work/{arm.key}")
            found = [
                self._store.read_json(f"work/{arm.key}/{name}")
                for name in names
                if name.startswith("trial-") and name.endswith(".json")
            ]
            arm.study.restore([Record(**item) for item in found if item])
        for arm in self.arms:
            self._finish(arm)
        return sum(max(0, arm.trials - len(arm.study.records)) for arm in self.arms)

    def next(self, trial_id: str) -> dict[str, Any] | None:
        """Return the settings of the next trial, or None when all are given out."""
        for arm in self.arms:
            taken = len(arm.study.records) + sum(
                1 for item, _ in self._running.values() if item is arm
            )
            if taken < arm.trials:
                number, params = arm.study.ask()
                self._running[trial_id] = (arm, number)
                self._say(arm, number, "running", params)
                return {"work": _filled(arm, number, params)}
        return None

    def result(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Take the score of an epoch, and return whether the trial should stop."""
        if "score" not in result or trial_id not in self._running:
            return False
        arm, number = self._running[trial_id]
        epoch, score = int(result["epoch"]), float(result["score"])
        if arm.study.seen(number) >= epoch:
            return False  # told again by a trial that was restarted
        return arm.study.report(number, epoch, score, last=epoch >= arm.trial.train.epochs)

    def done(self, trial_id: str, state: str, error: str = "") -> None:
        """Store a finished trial, and its arm's result when it was the last."""
        if trial_id not in self._running:
            return
        arm, number = self._running.pop(trial_id)
        record = arm.study.tell(number, state, error)
        self._store.write_json(f"work/{arm.key}/trial-{number:04d}.json", asdict(record))
        self._store.delete(f"work/{_trial_key(arm, number, record.params)}")
        self._say(arm, number, record.state, record.params, record.score)
        self._finish(arm)

    def close(self) -> None:
        """Check that every arm has a result.

        Raises:
            RunError: An arm has none.
        """
        for arm in self.arms:
            if self._store.result(arm.path) is None:
                records = list(arm.study.records.values())
                if len(records) < arm.trials:
                    raise RunError(arm.label, "the search was cut short.", "Run it again.")
                # Kept, the failures would count as finished trials, and no run could mend it.
                self._forget(arm)
                last = records[-1].error.rstrip(".")
                problem = f"every trial of the search failed; the last: {last}."
                raise RunError(arm.label, problem, "Mend it and run again.")

    def _finish(self, arm: ArmSearch) -> None:
        best = arm.study.best()
        if len(arm.study.records) < arm.trials or best is None or self._store.result(arm.path):
            return
        trials = [asdict(arm.study.records[number]) for number in sorted(arm.study.records)]
        chosen = {"number": best.number, "params": best.params, "score": best.score}
        with self._store.publish(arm.path, {"trials": trials, "best": chosen}):
            pass
        self._forget(arm)
        self._tell({"kind": "search_finished", "step": arm.step, "best": chosen})

    def _forget(self, arm: ArmSearch) -> None:
        """Remove what is kept of an arm's trials."""
        for name in self._store.list("work"):
            if name.split("-")[0] == arm.key:
                self._store.delete(f"work/{name}")

    def _say(
        self,
        arm: ArmSearch,
        number: int,
        state: str,
        params: Mapping[str, Any],
        score: float | None = None,
    ) -> None:
        facts = {"run": arm.label, "number": number, "trials": arm.trials, "state": state}
        self._tell(
            {"kind": "trial", "step": arm.step, **facts, "score": score, "params": dict(params)}
        )


def _filled(arm: ArmSearch, number: int, params: Mapping[str, Any]) -> Assignment:
    """Return the training run of a trial."""
    settings = dict(params)
    rate = settings.pop("learning_rate", arm.trial.train.learning_rate)
    name, fixed = arm.trial.method or ("none", {})
    return replace(
        arm.trial,
        key=_trial_key(arm, number, params),
        label=f"{arm.label} trial {number + 1}/{arm.trials}",
        train=arm.trial.train.model_copy(update={"learning_rate": float(rate)}),
        method=(name, {**fixed, **settings}),
    )


def _trial_key(arm: ArmSearch, number: int, params: Mapping[str, Any]) -> str:
    """Return the name of a trial's checkpoints.

    It holds the settings: several trials at once may get others after an interruption, and must
    not go on from weights that the earlier ones made.
    """
    text = json.dumps(dict(params), sort_keys=True, default=str)
    return f"{arm.key}-{number}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class _Asker(Searcher):
    """Gives Tune the trials of the board."""

    def __init__(self, board: _Board) -> None:
        super().__init__(metric="score", mode="max")
        self._board = board

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a trial's settings, or that all are given out."""
        return self._board.next(trial_id) or Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Close a trial that ended by itself."""
        failed = str((result or {}).get("error", "")) or ("its worker died" if error else "")
        self._board.done(trial_id, "failed" if failed else "complete", failed)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the storage holds every finished trial."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the storage holds every finished trial."""


class _Stopper(FIFOScheduler):
    """Stops the trials that the board gives up (asynchronous successive halving)."""

    def __init__(self, board: _Board) -> None:
        super().__init__()
        self._board = board

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether a trial goes on after an epoch."""
        if self._board.result(trial.trial_id, result):
            self._board.done(trial.trial_id, "pruned")
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)


def _trial(
    config: dict[str, Any], store: str, relay: Relay, device: str, threads: int
) -> dict[str, Any] | None:
    """Train one trial in a Tune worker and report the score of each epoch."""
    torch.set_num_threads(threads)
    work: Assignment = config["work"]

    def on_epoch(epoch: Epoch) -> bool:
        tune.report({"epoch": epoch.epoch, "score": epoch.score(work.select)})
        return False

    relay({"kind": "run_started", "step": work.step, "run": work.label, "pid": os.getpid()})
    try:
        training.run(work, Store(store), World(device=device), relay, on_epoch)
    except KdrayError as error:
        return {"error": str(error)}
    except Exception as error:  # settings that a part cannot work with: the other trials go on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return None
