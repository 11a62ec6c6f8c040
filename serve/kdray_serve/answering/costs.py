"""What explanations cost here, and which one fits into the time that a request has."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kdray import parts
from kdray.spec.strict import Part
from kdray_serve.work import Key

#: Weight of the newest measurement in a moving average.
_NEWEST = 0.3
#: Forward passes of methods that need many, before they are measured; Score-CAM: its channels.
_MANY = {"occlusion": 170, "shap": 202}
#: Of the others: one forward pass, and about another for the map.
_FEW = 2
#: Fast Score-CAM: its own least, with those by which it finds how long one takes.
_LEAST = 17
#: Share of the time left that is planned with; the rest is for what no plan knows.
_PLANNED = 0.85


@dataclass(frozen=True)
class Plan:
    """How a map is to be made.

    Args:
        method: The method, as the service calls it or, in place of it, a part's name.
        params: Its settings.
        replaced: Why it is not as wanted; empty where it is.
    """

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    replaced: str = ""


class Costs:
    """Measured times of one process; any number of threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[tuple[Key, str], float] = {}
        self._passes: dict[Key, float] = {}

    def note_pass(self, key: Key, milliseconds: float) -> None:
        """Note the time of a forward pass of one image."""
        with self._lock:
            _average(self._passes, key, milliseconds)

    def note(self, key: Key, method: str, milliseconds: float, forwards: int) -> None:
        """Note the time of an explanation of so many forward passes."""
        with self._lock:
            _average(self._times, (key, method), milliseconds)
            if forwards >= _LEAST:  # many together are quicker than each alone
                _average(self._times, (key, "pass"), milliseconds / forwards)

    def planned(self, key: Key, wanted: Plan, left_ms: float, channels: int) -> Plan:
        """Return the wanted explanation, or one that fits into the time left.

        In place of what would take too long comes fast Score-CAM with as many forward passes as
        there is time for, or Grad-CAM where that is less than it needs.

        Args:
            key: The model.
            wanted: What is wanted.
            left_ms: The time left.
            channels: Of the maps that Score-CAM looks through.
        """
        part = parts.canonical("explain", Part(name=wanted.method, params=dict(wanted.params)))
        expected = self._expected(key, wanted.method, part, channels)
        if expected <= left_ms or _forwards(part, channels) == _FEW:
            return wanted
        why = (
            f"{wanted.method} would take about {_rounded(expected)}, {_rounded(left_ms)} are left"
        )
        if _LEAST * self._of_pass(key) <= _PLANNED * left_ms:
            is_fast = part.name == "scorecam_fast"
            params = {**(part.params if is_fast else {}), "budget_ms": _PLANNED * left_ms}
            name = wanted.method if is_fast else "scorecam_fast"
            less = "fewer forward passes" if is_fast else "fast Score-CAM"
            return Plan(name, params, f"{why}: {less} in its place.")
        return Plan("gradcam", {}, f"{why}: Grad-CAM in its place.")

    def _expected(self, key: Key, method: str, part: Part, channels: int) -> float:
        with self._lock:
            measured = self._times.get((key, method))
        if measured is not None:
            return measured
        return self._of_pass(key) * _forwards(part, channels)

    def _of_pass(self, key: Key) -> float:
        with self._lock:
            return self._times.get((key, "pass"), self._passes.get(key, 0.0))


def _forwards(part: Part, channels: int) -> int:
    if part.name == "scorecam":
        return channels
    if part.name == "scorecam_fast":
        return min(channels, part.params.get("budget") or max(64, channels // 4))
    return _MANY.get(part.name, _FEW)


def _average(values: dict[Any, float], name: Any, newest: float) -> None:
    values[name] = newest + (1 - _NEWEST) * (values.get(name, newest) - newest)


def _rounded(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
