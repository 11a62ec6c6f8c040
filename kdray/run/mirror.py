"""A search as a journal that optuna-dashboard opens while it runs."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from kdray.run.trials import Record, SearchArm, directions, frozen
from kdray.store import Store


class Mirror:
    """Writes what happens to trials into an Optuna journal; nothing is read from it.

    It is made anew from the records whenever a search begins or goes on, so that no trial of a
    killed driver stays behind. On remote storage it is uploaded after each finished trial.

    Args:
        store: The storage.
        name: Name of the journal in the storage.
        study: Name of the study in it.
        arms: The arms.
        select: The score.
        against: The costs that are objectives too.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        study: str,
        arms: Sequence[SearchArm],
        select: str,
        against: Sequence[str],
    ) -> None:
        self._store = store
        self._name = name
        self._title = study
        self._arms = {arm.slug: arm for arm in arms}
        self._select = select
        self._against = against
        self._here: tempfile.TemporaryDirectory[str] | None = None
        self._study: optuna.Study | None = None
        self._ids: dict[int, int] = {}

    def rebuild(self, records: Iterable[Record]) -> None:
        """Write the journal anew, with trials of before an interruption."""
        if self._store.is_local:
            file = Path(self._store.path(self._name))
            file.parent.mkdir(parents=True, exist_ok=True)
        else:
            self._here = tempfile.TemporaryDirectory(prefix="kdray-")
            file = Path(self._here.name) / "study.journal"
        for old in (file, file.with_name(f"{file.name}.lock")):
            old.unlink(missing_ok=True)  # the lock is that of a driver that was killed
        self._study = optuna.create_study(
            study_name=self._title,
            storage=JournalStorage(JournalFileBackend(str(file))),
            directions=directions(self._select, self._against),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names([self._select, *self._against])
        for record in sorted(records, key=lambda item: item.number):
            self._add(record)
        self._upload(file)

    def began(self, record: Record) -> None:
        """Show a trial as running."""
        if record.number not in self._ids:
            self._add(record)

    def reported(self, number: int, epoch: int, value: float) -> None:
        """Show the score of an epoch."""
        study = self._opened()
        study._storage.set_trial_intermediate_value(self._ids[number], epoch, value)

    def ended(self, record: Record) -> None:
        """Show a trial as finished."""
        study = self._opened()
        trial = self._frozen(record)
        key = self._ids[record.number]
        for name, value in trial.user_attrs.items():
            study._storage.set_trial_user_attr(key, name, value)
        study._storage.set_trial_state_values(key, trial.state, trial.values)
        if self._here is not None:
            self._upload(Path(self._here.name) / "study.journal")

    def close(self) -> None:
        """Remove what lies beside a remote storage."""
        if self._here is not None:
            self._here.cleanup()

    def _opened(self) -> optuna.Study:
        if self._study is None:
            raise RuntimeError("the journal is written before it is made")
        return self._study

    def _add(self, record: Record) -> None:
        study = self._opened()
        study_id = study._study_id
        self._ids[record.number] = study._storage.create_new_trial(study_id, self._frozen(record))

    def _frozen(self, record: Record) -> optuna.trial.FrozenTrial:
        labels = [arm.label for arm in self._arms.values()]
        trial = frozen(record, self._arms[record.arm], labels, self._against)
        if record.error:
            trial.set_user_attr("error", record.error)
        return trial

    def _upload(self, file: Path) -> None:
        if self._here is not None:
            self._store.write(self._name, file.read_bytes())
