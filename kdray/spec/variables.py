"""Environment variables of a place: what they may be called and hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

#: What a container's environment variable may be called.
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
#: An environment variable's value; numbers as YAML writes them are taken as text.
Text = Annotated[
    str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)
]
#: What names of variables with secrets end in.
_SECRET = re.compile(
    r"(^|_)(SECRET|SECRET_KEY|SECRET_ACCESS_KEY|PASSWORD|PASSWD|PASSPHRASE|TOKEN|API_KEY"
    r"|PRIVATE_KEY)$"
)
#: Variables of pods that kdray and KubeRay set: given twice, Kubernetes refuses the pod.
_OURS = frozenset(
    {
        "HOME",
        "KDRAY_LAUNCH",
        "KDRAY_LOG_TO_STORAGE",
        "KDRAY_SERVE_LOG",
        "KDRAY_SERVE_METRICS_PORT",
        "PROMETHEUS_MULTIPROC_DIR",
        "RAY_ADDRESS",
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_JOB_STOP_WAIT_TIME_S",
        "RAY_REDIS_ADDRESS",
        "RAY_enable_autoscaler_v2",
        "REDIS_PASSWORD",
        "REDIS_USERNAME",
    }
)


def check_no_secrets(environment: Mapping[str, str], remedy: str) -> None:
    """Refuse variables that hold secrets: whoever sees the job sees them.

    Args:
        environment: Variables and their values.
        remedy: What to do instead.

    Raises:
        ValueError: A name or a value looks like a secret.
    """
    for name, value in environment.items():
        if _SECRET.search(name.upper()) or _has_password(value):
            raise ValueError(f"{name} looks like a secret: {remedy}")


def check_not_ours(variables: Iterable[str]) -> None:
    """Refuse variables that kdray sets in pods.

    Raises:
        ValueError: There is one.
    """
    ours = sorted(_OURS.intersection(variables))
    if ours:
        raise ValueError(f"{ours[0]} is set by kdray: leave it out")


def _has_password(value: str) -> bool:
    """Return whether a value is an address with a password, ``scheme://user:password@host``."""
    try:
        return "://" in value and bool(urlsplit(value).password)
    except ValueError:  # no address
        return False
