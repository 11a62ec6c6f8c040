"""Requests that fail in passing are made again, after waits that grow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

#: Seconds from the first failure until a request is given up.
PATIENCE_S = 60.0
_FIRST_S = 0.5
_LONGEST_S = 10.0


def patiently(act: Callable[[], Answer], passes: Callable[[Exception], bool]) -> Answer:
    """Return what ``act`` returns, tried again while what it raises may pass.

    A wait is twice as long as the one before, and of a random length, so that the many workers of
    a job do not all ask again in the same moment.

    Args:
        act: Makes the request; may be called several times.
        passes: Returns whether an error may be gone a moment later.
    """
    began, wait = 0.0, _FIRST_S
    while True:
        try:
            return act()
        except Exception as error:
            now = time.monotonic()
            began = began or now
            if not passes(error) or now - began >= PATIENCE_S:
                raise
        time.sleep(wait * random.uniform(0.5, 1.0))
        wait = min(2 * wait, _LONGEST_S)
