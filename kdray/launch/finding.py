"""One thing that ``kdray doctor`` finds out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One finding: ``note`` informs, ``warn`` may hurt, ``fail`` has to be mended."""

    name: str
    state: Literal["ok", "note", "warn", "fail"]
    fact: str
    remedy: str = ""
