"""A job file as it is sent to a place: resolved, named, and without what that place cannot see."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kdray import parts
from kdray.errors import JobError
from kdray.launch.place import Order
from kdray.plan.read import experiments_of, read_job
from kdray.spec import Experiment, Service, Suite, Target
from kdray.spec.target import Kubernetes, Local
from kdray.spec.yaml import dump

Job = Experiment | Service | Suite

#: Letters of the job's name in an id; with the hash and room for ``-NN`` below KubeRay's 47.
_NAME = 35
#: Letters of the hash of what is sent.
_HASH = 8
#: Settings of a URI that are secrets.
_SECRETS = ("access_key", "secret_key", "session_token", "password", "token")


def make_order(
    file: str | os.PathLike[str],
    sets: Sequence[str] | None,
    target: Target,
    env: Mapping[str, str] | None = None,
) -> Order:
    """Return a job as it is sent to a target.

    Storage and registry that are relative folders become those of the target; elsewhere than on
    this machine there have to be such.

    Args:
        file: Path of the job file.
        sets: Overrides ``path.to.field=value``.
        target: Where it is sent.
        env: Values for ``${NAME}``; None: the process's environment.

    Raises:
        JobError: The file has problems, or names what the target cannot see.
    """
    read = read_job(file, sets, env)
    _check_kind(str(file), read, target)
    changes = _changes(str(file), read, target)
    job = _changed(read, changes)
    if not isinstance(target.place, Local):
        for field, value in _uris(job):
            is_read = isinstance(job, Service) and field == "registry"
            check_uri(f"{file}: {field}", value, target, is_read)
        for field, value in _inputs(job):
            _check_input(f"{file}: {field}", value, target)
    spec = dump(job.model_dump(mode="json", exclude_unset=True))
    return Order(
        job=job.name,
        kind=job.kind,
        id=service_id(job.name) if isinstance(job, Service) else order_id(job.name, spec),
        spec=spec,
        file=str(file),
        storage=_storage(job),
        sets=(*(sets or ()), *(f"{field}={value}" for field, value in changes.items())),
    )


def service_id(service: str) -> str:
    """Return the name of a service at a place: the same after a change, which is an upgrade.

    Args:
        service: Its name; where this is no name for Kubernetes, a hash keeps it apart from others.
    """
    word = _slug(service)
    if word == service and len(word) <= _NAME:
        return word
    code = hashlib.sha256(service.encode()).hexdigest()[:_HASH]
    return f"{word[:_NAME].rstrip('-')}-{code}"


def order_id(job: str, spec: str) -> str:
    """Return the name of a job at a place: by its own name and a hash of what is sent.

    Args:
        job: Name of the job.
        spec: The resolved job file.
    """
    word = _slug(job)
    code = hashlib.sha256(spec.encode()).hexdigest()[:_HASH]
    return f"{word[:_NAME].rstrip('-')}-{code}"


def below(uri: str, name: str) -> str:
    """Return the URI of ``name`` in a folder, with the folder's settings."""
    base, mark, query = uri.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def is_relative(uri: str) -> bool:
    """Return whether a URI is a folder that only this machine knows how to find."""
    return "://" not in uri and not uri.startswith("/")


def _slug(name: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return word if word[:1].isalpha() else f"j-{word}"


def _check_kind(file: str, job: Job, target: Target) -> None:
    if isinstance(job, Service) and not isinstance(target.place, Kubernetes):
        remedy = "Use `kdray serve` for it, or send it --to kubernetes."
        raise JobError(file, "is a Service, not an Experiment.", remedy)


def _changes(file: str, job: Job, target: Target) -> dict[str, str]:
    """Return the fields to be set so that the job's folders are the target's, as ``--set``."""
    prefix = "base." if isinstance(job, Suite) else ""
    fields = ("storage", "registry") if isinstance(job, Service) else _FIELDS
    stored = _storage(job)
    changes: dict[str, str] = {}
    if is_relative(stored) and target.storage is not None:
        stored = changes[f"{prefix}{fields[0]}"] = target.storage
    elif is_relative(stored) and not isinstance(target.place, Local):
        raise _only_here(file, f"{prefix}{fields[0]}", stored, target)
    registry = target.registry
    if registry is None and not is_relative(stored):
        is_sent = changes or not isinstance(target.place, Local)
        registry = below(stored, "registry") if is_sent else None
    if registry is not None and any(is_relative(uri) for uri in _registries(job)):
        changes[f"{prefix}{fields[1]}"] = registry
    return changes


#: Where experiments say where results and models are kept.
_FIELDS = ("storage.uri", "promote.registry")


def _only_here(file: str, field: str, uri: str, target: Target) -> JobError:
    return JobError(
        file,
        f"{field}: {uri!r} is a folder of this machine, which {target.name} does not see.",
        "Write `storage: s3://...` into the target's file, or set it to a folder that all nodes "
        f"share or to s3://bucket/prefix: --set {field}=...",
    )


def _changed(job: Job, changes: Mapping[str, str]) -> Job:
    """Return a job with other folders."""
    for field, value in changes.items():
        if isinstance(job, Suite):
            base = _put(job.base, field.split(".")[1:], value)
            job = job.model_copy(update={"base": base})
        else:
            job = _with(job, field.split("."), value)
    return job


def _put(tree: Mapping[str, Any], path: Sequence[str], value: str) -> dict[str, Any]:
    inner = value if len(path) == 1 else _put(tree.get(path[0]) or {}, path[1:], value)
    return {**tree, path[0]: inner}


def _with(model: Any, path: Sequence[str], value: str) -> Any:
    inner = value if len(path) == 1 else _with(getattr(model, path[0]), path[1:], value)
    return model.model_copy(update={path[0]: inner})


def _storage(job: Job) -> str:
    return job.storage if isinstance(job, Service) else experiments_of(job)[0].storage.uri


def _registries(job: Job) -> list[str]:
    if isinstance(job, Service):
        return [job.registry]
    return [experiment.promote.registry for experiment in experiments_of(job)]


def _uris(job: Job) -> Iterator[tuple[str, str]]:
    """Yield where a job names storage, and the URI."""
    fields = ("storage", "registry") if isinstance(job, Service) else _FIELDS
    yield fields[0], _storage(job)
    for uri in _registries(job):
        yield fields[1], uri


def _inputs(job: Job) -> Iterator[tuple[str, str]]:
    """Yield where a job names files that it reads, and their paths or URIs."""
    for one in () if isinstance(job, Service) else experiments_of(job):
        source = one.data.source
        for name in parts.header("data", source.name).constants.get("PLACE", ()):
            yield f"data.source.params.{name}", str(source.params.get(name) or "")
        for model in (*one.teachers, *one.students):
            yield f"weights of {model.id}", "" if model.weights in _NO_FILE else model.weights
        warm_start = one.search.warm_start or ""
        yield "search.warm_start", warm_start if "/" in warm_start else ""  # else a job's name


#: Weights that are no file.
_NO_FILE = ("none", "imagenet")


def _check_input(where: str, path: str, target: Target) -> None:
    """Refuse a file that is looked for beside the job file, which is all that is sent."""
    if path and is_relative(path) and not path.startswith("~"):
        raise JobError(
            where,
            f"{path!r} is relative to a folder of this machine, which {target.name} does not see.",
            "Only the job file is sent: give the path by which the nodes see it, or a URI.",
        )


def check_uri(where: str, uri: str, target: Target, is_read: bool = False) -> None:
    """Refuse secrets, which would be shown by the place, and folders that pods do not mount."""
    parts = urlsplit(uri)
    shown = uri.partition("?")[0]
    if parts.password or any(name in _SECRETS for name, _ in parse_qsl(parts.query)):
        remedy = _SECRETLY[isinstance(target.place, Kubernetes)]
        raise JobError(where, "keys inside a URI would be shown to all who see the job.", remedy)
    if is_relative(uri):
        raise JobError(where, f"{shown!r} is a folder of this machine.", "Give a URI, or a path.")
    if isinstance(target.place, Kubernetes) and "://" not in uri:
        _check_mounted(where, uri, target.place, is_read)


_SECRETLY = {
    True: "Name a Secret in the target's `secret_environment`: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY.",
    False: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on the cluster's nodes.",
}


def _check_mounted(where: str, path: str, place: Kubernetes, is_read: bool) -> None:
    mounts = {Path(volume.path): volume for volume in place.volumes}
    holding = [mounts[folder] for folder in (Path(path), *Path(path).parents) if folder in mounts]
    if not holding:
        known = ", ".join(map(str, mounts)) or "none"
        remedy = f"Use s3://..., or a folder of the target's `volumes` ({known})."
        raise JobError(where, f"{path} is on no volume of the target: it would vanish.", remedy)
    if holding[0].read_only and not is_read:
        raise JobError(where, f"{path} is on a volume that is read-only.", "read_only: false")
