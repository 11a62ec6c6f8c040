"""``SERVICE`` of the verbs that look at what a service has left: which, of which storage."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from kdray.cli._jobs import DEFAULT, StorageUri, is_file
from kdray.errors import JobError
from kdray.spec import Service
from kdray.store import Store

__all__ = ["ServiceName", "StorageUri", "clock_time", "find_service"]

#: A service by its name, or by its job file.
ServiceName = Annotated[
    str,
    typer.Argument(help="Name of the service, or its job file (YAML).", metavar="SERVICE|SPEC"),
]


def find_service(name: str, storage: str | None = None) -> tuple[Store, str]:
    """Return the storage and the name of a service.

    Args:
        name: Its name, or the path of its job file; a file is what ends in .yaml or exists.
        storage: URI of the storage; None: the file's, or ``runs``.

    Raises:
        JobError: Nothing was left by a service of this name, or the file is of no service.
    """
    service, uri = _resolved(name, storage)
    store = Store(uri)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", service) or not store.list(f"services/{service}"):
        there = store.list("services")
        remedy = f"There are: {', '.join(there)}." if there else "--storage names another storage."
        raise JobError(name, f"no service {service!r} has left anything in {uri!r}.", remedy)
    return store, service


def clock_time(when: str) -> str:
    """Return an ISO 8601 time as people read it, to the second."""
    return when[:19].replace("T", " ")


def _resolved(name: str, storage: str | None) -> tuple[str, str]:
    if not is_file(name):
        return name, storage or DEFAULT
    from kdray.plan.read import read_job

    spec = read_job(name)
    if not isinstance(spec, Service):
        raise JobError(name, "is an Experiment, not a Service.", "Give the service's job file.")
    return spec.name, storage or spec.storage
