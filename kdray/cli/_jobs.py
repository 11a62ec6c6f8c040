"""``JOB|SPEC|ID`` of the verbs that look at a job: which job of which storage is meant."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kdray.errors import JobError, LaunchError
from kdray.launch.found import STORAGE as DEFAULT
from kdray.launch.found import asked_target, close_to, find, is_file, is_name, job_of
from kdray.launch.found import resolve as order_of
from kdray.launch.record import storage_seen
from kdray.run.journal import read_state
from kdray.spec.target import Local
from kdray.store import Store

#: A job by its name, or by its job file.
JobOrSpec = Annotated[
    str, typer.Argument(help="Name of the job, or its job file (YAML).", metavar="JOB|SPEC")
]
#: A job by its name, by its job file, or by its id at a place.
AnyJob = Annotated[
    str,
    typer.Argument(
        help="Name of the job, its job file (YAML), or its id at a place.", metavar="JOB|SPEC|ID"
    ),
]
#: ``--to`` of the verbs that send jobs and look at them.
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TARGET",
        help="local, ray, kubernetes, http://HEAD:8265, a target file, or the name of one in "
        "~/.config/kdray/targets; by default KDRAY_TARGET, or local.",
    ),
]
#: ``--storage`` of the verbs that look at jobs.
StorageUri = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help="Folder or s3://bucket/prefix of the results; by default that of the job file, "
        "or `runs`.",
    ),
]

__all__ = [
    "DEFAULT",
    "AnyJob",
    "JobOrSpec",
    "StorageUri",
    "To",
    "find_job",
    "is_file",
    "resolve",
    "with_results",
]


def find_job(name: str, storage: str | None = None) -> tuple[Store, str, dict[str, Any]]:
    """Return the storage, the name and the state of a job.

    Args:
        name: A job's name or the path of its file; a file is what ends in .yaml or exists.
        storage: URI of the storage; None: the file's, or ``runs``.

    Raises:
        JobError: There is no such job, or the file has problems.
    """
    job, uri = resolve(name, storage)
    store = Store(uri)
    state = read_state(store, job) if is_name(job) else None
    if state is None:
        raise JobError(name, f"no job {job!r} was started in {uri!r}.", _remedy(store, job, uri))
    return store, job, state


def resolve(name: str, storage: str | None = None) -> tuple[str, str]:
    """Return the name of a job and the URI of its storage; neither is looked up.

    Args:
        name: A job's name or the path of its file.
        storage: URI of the storage; None: the file's, or ``runs``.

    Raises:
        JobErrors: The file has problems.
    """
    if not is_file(name):
        return name, storage or DEFAULT
    from kdray.plan.read import experiments_of, read_work

    spec = read_work(name)
    return spec.name, storage or experiments_of(spec)[0].storage.uri


def with_results(name: str, to: str | None, storage: str | None) -> tuple[str, str | None]:
    """Return the job or its file, and the URI of the storage that holds its results.

    Args:
        name: A job's name, the path of its file, or its id at a place.
        to: The target that was named.
        storage: URI of the storage that was named.

    Returns:
        The name of the job, or the path as it was given; the URI, or None: the job file's, or
        ``runs``.

    Raises:
        LaunchError: This machine does not see that storage, or the place does not answer.
    """
    uri = _storage_of(name, to, storage)
    return name if is_file(name) else job_of(Store(uri or DEFAULT), name), uri


def _storage_of(name: str, to: str | None, storage: str | None) -> str | None:
    target = asked_target(to, storage)
    if storage is not None or target is None:
        return storage
    if isinstance(target.place, Local):
        return target.storage
    order = order_of(name, None, target)
    uri = (order.storage if order else target.storage) or find(name, to).uri
    if storage_seen(uri, target) is None:
        remedy = (
            "Look where it is seen, or use a storage that all see, such as s3://bucket/prefix."
        )
        problem = f"its results are in {uri or 'a storage that is not known'}, not seen from here."
        raise LaunchError(name, problem, remedy)
    return uri


def _remedy(store: Store, job: str, uri: str) -> str:
    shown = "" if uri == DEFAULT else f" --storage {uri}"
    other = f"See `kdray jobs{shown}`; --storage names another storage."
    return close_to(job, store.list("jobs")) or other
