"""Which place is meant: ``--to``, a target file, or the user's own targets by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdray.errors import JobError
from kdray.launch.place import Place
from kdray.spec import Target, load_target
from kdray.spec.problem import nearest
from kdray.spec.target import Kubernetes, RayCluster

#: Places that need no file.
BUILT_IN = ("local", "ray", "kubernetes")
#: Environment variable with the target where ``--to`` is not given.
DEFAULT = "KDRAY_TARGET"
#: Environment variable with the folder of the user's targets.
FOLDER = "KDRAY_TARGETS"


def find_target(text: str | None, env: Mapping[str, str] | None = None) -> Target:
    """Return the target that ``--to`` names.

    Args:
        text: ``local``, ``ray``, ``kubernetes``, the address of a cluster's Jobs API
            (``http://head:8265``), the path of a target file, or the name of one of the user's
            (``~/.config/kdray/targets/NAME.yaml``), which come first. None: what ``KDRAY_TARGET``
            says, or else this machine.
        env: The environment; None: the process's.

    Raises:
        JobError: There is no such target, or its file has problems.
    """
    env = os.environ if env is None else env
    said, where = (text, "--to") if text is not None else (env.get(DEFAULT) or "local", DEFAULT)
    if said.startswith(("http://", "https://")):
        return _built_in("ray", address=said)
    if _is_file(said):
        return load_target(Path(said).expanduser(), env)
    own = _own(env)
    if said in own:
        return load_target(own[said], env)
    if said in BUILT_IN:
        return _built_in(said)
    raise JobError(where, f"there is no target {said!r}.", _remedy(said, own, env))


def open_place(target: Target) -> Place:
    """Return the place of a target; nothing is asked of it yet.

    Raises:
        LaunchError: What it takes to talk to the place is not installed.
    """
    place = target.place
    if isinstance(place, RayCluster):
        from kdray.launch.ray import RayJobs

        return RayJobs(place)
    if isinstance(place, Kubernetes):
        from kdray.launch.kube.place import KubernetesPlace

        return KubernetesPlace(place)
    from kdray.launch.here import Here

    return Here(place, target.storage or "runs")


def pinned(target: Target, place: Place) -> Target:
    """Return a target that means the same place on every machine and in every environment.

    Args:
        target: As its user wrote it: it may leave address or context to the environment.
        place: What it has opened.

    Raises:
        LaunchError: The environment names no such place.
    """
    kind = target.place
    if isinstance(kind, RayCluster):
        from kdray.launch.ray import address_of

        kind = kind.model_copy(update={"address": address_of(kind)})
    elif isinstance(kind, Kubernetes):
        from kdray.launch.kube.place import KubernetesPlace

        if isinstance(place, KubernetesPlace):
            kind = kind.model_copy(update=place.pinned)
    return target.model_copy(update={"place": kind})


def targets_folder(env: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the user's targets: ``KDRAY_TARGETS``, or that of their settings."""
    env = os.environ if env is None else env
    if env.get(FOLDER):
        return Path(env[FOLDER]).expanduser()
    base = env.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "kdray" / "targets"


def _built_in(kind: str, **place: Any) -> Target:
    tree = {"apiVersion": "kdray/v1", "kind": "Target", "name": kind}
    return Target.model_validate({**tree, "place": {"kind": kind, **place}})


def _is_file(text: str) -> bool:
    is_address = "://" in text
    return not is_address and ("/" in text or text.endswith((".yaml", ".yml")))


def _own(env: Mapping[str, str]) -> dict[str, Path]:
    """Return the user's targets by the names of their files."""
    folder = targets_folder(env)
    return {file.stem: file for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])}


def _remedy(text: str, own: Mapping[str, Path], env: Mapping[str, str]) -> str:
    if text.startswith("ray://"):
        return "Give the address of the Jobs API, such as http://HEAD:8265."
    host, colon, port = text.partition(":")
    if colon and port.isdigit():
        return f"Did you mean 'http://{host}:{port}'?"
    names = [*dict.fromkeys((*BUILT_IN, *own))]
    said = nearest(text, names, listed="There are")
    return f"{said} Files of your own belong into {targets_folder(env)}."
