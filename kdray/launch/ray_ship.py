"""What travels with a job to a Ray cluster: its job file, kdray itself, environment variables."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdray.errors import LaunchError
from kdray.run.environment import SETTINGS
from kdray.run.output import LOG_TO_STORAGE
from kdray.spec.target import RayCluster

#: Name of the job file in the driver's folder.
JOB_FILE = "job.yaml"
#: Packages that are sent.
PACKAGES = ("kdray", "kdray_serve")
#: Seconds a driver may take to stop cleanly; then Ray kills it.
STOP_S = 60


@contextmanager
def runtime_env(spec: str, place: RayCluster) -> Iterator[dict[str, Any]]:
    """Give Ray's ``runtime_env`` of a job, as long as its folders are needed.

    The driver's folder holds the job file. The code is a module of its own: Ray keeps both by
    their content, so it is sent once for all jobs.

    Args:
        spec: The job file's text.
        place: The cluster.

    Raises:
        LaunchError: kdray is not a folder here, so it cannot be sent.
    """
    with tempfile.TemporaryDirectory(prefix="kdray-") as scratch:
        work, code = Path(scratch, "work"), Path(scratch, "code")
        work.mkdir()
        (work / JOB_FILE).write_text(spec, encoding="utf-8")
        settings = {
            **SETTINGS,
            LOG_TO_STORAGE: "1",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S),
        }
        sent: dict[str, Any] = {
            "working_dir": str(work),
            "env_vars": {**settings, **place.environment},
        }
        if place.ship:
            sent["py_modules"] = [str(_copied(name, code)) for name in PACKAGES]
        yield sent


def folder_of(package: str) -> Path:
    """Return the folder of an installed package, without importing it.

    Raises:
        LaunchError: There is none.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        remedy = "Install kdray on the cluster and set `ship: false` in the target."
        raise LaunchError(package, "is not a folder here, so it cannot be sent.", remedy)
    return Path(next(iter(found.submodule_search_locations)))


def _copied(package: str, folder: Path) -> Path:
    """Copy a package as an installation has it: compiled files would change its hash."""
    target = folder / package
    shutil.copytree(
        folder_of(package), target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    )
    return target
