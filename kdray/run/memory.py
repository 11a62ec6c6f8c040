"""What Ray says of a node that ran out of memory: a page, of which one figure counts."""

from __future__ import annotations

import re

_OUT = re.compile(r"running low on memory|out of memory|memory pressure|\bOOM\b", re.IGNORECASE)
_USED = re.compile(r"was (\S+) used / (\S+) limit")


def memory_used(text: str) -> str | None:
    """Return how full a node was when processes were killed there, in brackets.

    Args:
        text: What Ray says of a process that it killed.

    Returns:
        Such as `` (0.97GB of 1.00GB used)``; empty where Ray gives no figures; None where it died
        of something else.
    """
    if not _OUT.search(text):
        return None
    used = _USED.search(text)
    return f" ({used[1]} of {used[2]} used)" if used else ""
