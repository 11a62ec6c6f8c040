"""Who performs a function: processes of a cluster, or this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol


class Workers(Protocol):
    """They perform functions that depend on their arguments alone."""

    @property
    def device(self) -> str:
        """Where their models compute."""

    @property
    def threads(self) -> int:
        """Threads of their tensor operations; 0: as they are."""

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns; on a CPU."""

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each call and what it returned, as they finish."""


class Here:
    """This process, one call after the other."""

    device = "cpu"
    threads = 0

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns."""
        return function(*args)

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each call and what it returned, in order."""
        for index, args in enumerate(calls):
            yield index, function(*args)
