"""The most memory that some work takes, in a process that does nothing else."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from kdray.bench._cams import FORWARD
from kdray.bench._room import Factory

#: Passes before: what a first one allocates belongs to the network, not to the map.
_WARM_UP = 3


def peak_mb(factory: Factory, args: tuple[Any, ...], names: tuple[str, ...]) -> float:
    """Return the resident memory that work takes at most, above that after plain forward passes.

    Args:
        factory: Makes the variants; one of them is ``forward``.
        args: Its arguments.
        names: The variants to run, one after the other.

    Returns:
        Megabytes (10^6).
    """
    made = factory(*args)
    for _ in range(_WARM_UP):
        made[FORWARD]()
    gc.collect()
    # The high-water mark starts anew from what is resident now (Linux, proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    for name in names:
        made[name]()
    return (_status_kb("VmHWM") - before) * 1024 / 1e6


def _status_kb(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(value)
