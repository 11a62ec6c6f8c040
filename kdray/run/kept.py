"""What is recorded in a storage: of whom, how much, for which steps; and its removal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdray.errors import StoreError
from kdray.knowledge.names import ROOT, folder_of
from kdray.plan import Plan
from kdray.run.journal import read_state
from kdray.store import Store

ABOUT = "about.json"


@dataclass(frozen=True)
class Kept:
    """The records of one teacher over the views of one data set.

    Args:
        key: Their name.
        teacher: Id of the teacher in the job that began them; empty where that is not known.
        dataset: Step that prepared the data set.
        views: How many views have files.
        bytes: Of all files.
        columns: Folder of a column -> bytes.
        steps: The finished steps that recorded them.
        running: Job that records now, or None.
    """

    key: str
    teacher: str
    dataset: str
    views: int
    bytes: int
    columns: Mapping[str, int]
    steps: tuple[str, ...]
    running: str | None

    @property
    def is_used(self) -> bool:
        """Whether a finished step names them, or a running job fills them."""
        return bool(self.steps or self.running)


def describe(store: Store, key: str, plan: Plan, teacher: str) -> None:
    """Write down what records are of, beside them."""
    step = plan.record[teacher]
    facts = {"teacher": teacher, "dataset": plan.prepare.id, "job": plan.job.name, "step": step.id}
    store.write_json(f"{folder_of(key)}/{ABOUT}", facts)


def kept(store: Store) -> list[Kept]:
    """Return the records of a storage, the largest first."""
    steps = _steps(store)
    found = [_kept(store, key, steps.get(key, ())) for key in store.list(ROOT)]
    return sorted(found, key=lambda item: (-item.bytes, item.key))


def remove(store: Store, record: Kept) -> None:
    """Remove records; a job that needs them makes them again.

    Raises:
        StoreError: A job records them now.
    """
    if record.running:
        problem = f"job {record.running} records it now."
        raise StoreError(f"record {record.key}", problem, f"`kdray stop {record.running}` first.")
    store.delete(folder_of(record.key))


def _kept(store: Store, key: str, steps: tuple[str, ...]) -> Kept:
    about: Mapping[str, Any] = store.read_json(f"{folder_of(key)}/{ABOUT}") or {}
    columns: dict[str, int] = {}
    views: set[str] = set()
    for path, size in store.sizes(folder_of(key)).items():
        column, _, file = path.partition("/")
        if file.endswith(".arrow"):
            columns[column] = columns.get(column, 0) + size
            views.add(file.partition("-")[0])
    return Kept(
        key,
        str(about.get("teacher", "")),
        str(about.get("dataset", "")),
        len(views),
        sum(columns.values()),
        dict(sorted(columns.items())),
        steps,
        _running(store, about),
    )


def _steps(store: Store) -> dict[str, tuple[str, ...]]:
    """Return name of records -> the finished steps that made them."""
    found: dict[str, tuple[str, ...]] = {}
    for name in store.list("steps/record"):
        result = store.result(f"steps/record/{name}")
        if result is not None:
            found[result["key"]] = (*found.get(result["key"], ()), f"record/{name}")
    return found


def _running(store: Store, about: Mapping[str, Any]) -> str | None:
    """Return the job that fills the records now, if one does."""
    job, step = about.get("job"), about.get("step")
    if not job or store.result(f"steps/{step}") is not None:
        return None
    # A suite drives its experiments under its own name.
    states = (read_state(store, name) for name in {job, job.partition(".")[0]})
    return job if any(one and one["state"] == "running" for one in states) else None
