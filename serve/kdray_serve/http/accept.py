"""Which kind of answer a client wants (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kdray_serve.refusal import Refusal


def accepted(header: str, offered: Sequence[str]) -> str:
    """Return the offered media type that a client likes best.

    Args:
        header: ``Accept``; empty: anything.
        offered: Media types, the default first.

    Raises:
        Refusal: 406; the client wants none of them.
    """
    wishes = [_wish(item) for item in header.split(",") if item.strip()]
    if not wishes:
        return offered[0]
    best = max(offered, key=lambda kind: _quality(kind, wishes))  # of equals, the first
    if _quality(best, wishes) <= 0:
        raise Refusal(406, f"The answer can be {' or '.join(offered)}, but not {header[:200]!r}.")
    return best


def _wish(item: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return kind, quality if math.isfinite(quality) else 0.0


def _quality(kind: str, wishes: list[tuple[str, float]]) -> float:
    """Return how much a media type is liked: what names it most exactly decides."""
    for pattern in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        found = [quality for name, quality in wishes if name == pattern]
        if found:
            return max(found)
    return 0.0
