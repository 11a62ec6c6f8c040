"""The search on Ray Tune: one study over all arms chooses and stops the trials."""

from __future__ import annotations

import os
import traceback
from typing import Any

import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from kdray.errors import KdrayError, StoreError
from kdray.learn import Epoch, World
from kdray.run import training
from kdray.run.board import Board
from kdray.run.relay import Relay
from kdray.run.scratch import lend
from kdray.run.session import limit_memory
from kdray.run.shares import Share
from kdray.run.training import Assignment
from kdray.store import Store


def run_search(  # noqa: PLR0913 - each is a fact that only the caller knows
    board: Board,
    store: Store,
    relay: Relay,
    share: Share,
    concurrent: int,
    max_failures: int = 3,
    scratch: str = "work/ray",
) -> None:
    """Run the missing trials of a search in one Tune run, with actors that are reused.

    Args:
        board: The search.
        store: The storage.
        relay: Takes the workers' events.
        share: What each trial gets.
        concurrent: Trials at once.
        max_failures: Deaths of its worker, or refusals of the storage, that a trial survives.
        scratch: Folder in the storage for Ray's own files, of this driver alone; removed.

    Raises:
        RunError: Every trial of an arm failed, or a method takes nothing of its spaces.
        StoreError: The storage refuses Ray.
    """
    left = board.restore()
    if left:
        trainable = tune.with_parameters(_trial, store=store.uri, relay=relay, share=share)
        asker = _Asker(board)
        with lend(store, scratch) as uri:
            tune.Tuner(
                tune.with_resources(trainable, share.as_ray()),
                tune_config=tune.TuneConfig(
                    search_alg=asker,
                    scheduler=_Stopper(board),
                    num_samples=left,
                    max_concurrent_trials=min(concurrent, left),
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=uri,
                    failure_config=tune.FailureConfig(max_failures=max_failures),
                    verbose=0,
                ),
            ).fit()
        if asker.failure is not None:
            raise asker.failure
    board.close()


_DIED = "its worker died, or the storage refused it, too often"


class _Asker(Searcher):
    """Gives Tune the trials of the board."""

    def __init__(self, board: Board) -> None:
        super().__init__(metric="score", mode="max")
        self._board = board
        self.failure: KdrayError | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a trial's settings, or that all are given out."""
        try:
            work = None if self.failure else self._board.next(trial_id)
        except KdrayError as error:  # Tune would wrap it; what runs may end
            self.failure, work = error, None
        return Searcher.FINISHED if work is None else {"work": work}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Close a trial that ended by itself."""
        failed = str((result or {}).get("error", "")) or (_DIED if error else "")
        self._board.done(trial_id, "failed" if failed else "complete", failed)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the storage holds every trial."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the storage holds every trial."""


class _Stopper(FIFOScheduler):
    """Stops the trials that the board gives up."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether a trial goes on after an epoch."""
        if "score" not in result:
            return str(TrialScheduler.CONTINUE)
        if self._board.report(trial.trial_id, int(result["epoch"]), float(result["score"])):
            self._board.done(trial.trial_id, "pruned")
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)


def _trial(
    config: dict[str, Any], store: str, relay: Relay, share: Share
) -> dict[str, Any] | None:
    """Train one trial in a Tune worker and report the score of each epoch."""
    torch.set_num_threads(share.threads)
    limit_memory(share.device, share.gpus)
    work: Assignment = config["work"]

    def on_epoch(epoch: Epoch) -> bool:
        tune.report({"epoch": epoch.epoch, "score": epoch.score(work.select)})
        return False

    relay({"kind": "run_started", "step": work.step, "run": work.label, "pid": os.getpid()})
    try:
        training.run(work, Store(store), World(device=share.device), relay, on_epoch)
    except StoreError as error:
        relay({"kind": "note", "step": work.step, "text": f"{work.label}: {error}"})
        raise  # the storage may answer again: another try goes on from the checkpoint
    except KdrayError as error:
        return {"error": str(error)}
    except Exception as error:  # settings that a part cannot work with: the other trials go on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return None
