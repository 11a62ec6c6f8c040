"""What the core tells of its work, for audit log and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from kdray_serve.work import Caller, Explained, Key, Predicted, Upload


@dataclass(frozen=True)
class Answered:
    """A request that was answered by a model.

    Args:
        caller: Who asked.
        key: Name and version of the model that answered.
        classes: Its classes, in the order of the probabilities.
        weights_sha256: Checksum of its weights.
        route: What was asked for.
        images: The images as they came; to be kept only where the spec says so.
        predicted: What it said of each of them.
        explained: Where it looked; None for predictions.
        seconds: From the call to the answer, waiting included.
        is_canary: Whether the canary version answered in place of the other.
        when: Seconds since 1970.
    """

    caller: Caller
    key: Key
    classes: tuple[str, ...]
    weights_sha256: str
    route: Literal["predict", "explain"]
    images: tuple[Upload, ...]
    predicted: tuple[Predicted, ...]
    explained: Explained | None
    seconds: float
    is_canary: bool
    when: float


#: Kinds of work that have a queue of their own.
LineName = Literal["predictions", "explanations", "previews"]
#: How an answer of the shadow version compares with the one that was returned.
Outcome = Literal["same", "different", "dropped", "failed"]


class Meter(Protocol):
    """Counts; called from any thread, must be quick and must not raise."""

    def batch(self, key: Key, images: int, seconds: float) -> None:
        """Note images that were decoded and went through a model together."""

    def queue(self, line: LineName, requests: int) -> None:
        """Note how many requests wait or run."""

    def refused(self, line: LineName, status: int) -> None:
        """Note a request that was refused for load (503) or time (504)."""

    def explained(self, key: Key, method: str, seconds: float) -> None:
        """Note an explanation: from the call to the answer, wherever it was made."""

    def loaded(self, key: Key, runtime: str, seconds: float) -> None:
        """Note a model that was loaded and warmed up."""

    def memory(self, models: int, bytes_: int) -> None:
        """Note how many models are loaded, and what they take."""

    def switched(self, key: Key) -> None:
        """Note a version that now answers in place of another."""

    def switch_failed(self, name: str) -> None:
        """Note a new version, or a registry, that could not be used; the old one stays."""

    def shadowed(self, key: Key, outcome: Outcome, difference: float) -> None:
        """Note an answer of the shadow version.

        Args:
            key: The shadow version.
            outcome: How it compares.
            difference: Largest difference of a probability; NaN where there is none.
        """


class Silent:
    """A meter that counts nothing."""

    def batch(self, key: Key, images: int, seconds: float) -> None:
        """Do nothing."""

    def queue(self, line: LineName, requests: int) -> None:
        """Do nothing."""

    def refused(self, line: LineName, status: int) -> None:
        """Do nothing."""

    def explained(self, key: Key, method: str, seconds: float) -> None:
        """Do nothing."""

    def loaded(self, key: Key, runtime: str, seconds: float) -> None:
        """Do nothing."""

    def memory(self, models: int, bytes_: int) -> None:
        """Do nothing."""

    def switched(self, key: Key) -> None:
        """Do nothing."""

    def switch_failed(self, name: str) -> None:
        """Do nothing."""

    def shadowed(self, key: Key, outcome: Outcome, difference: float) -> None:
        """Do nothing."""
