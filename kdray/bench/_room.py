"""A process of its own for what is timed: its allocator is that of kdray's workers or not."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from kdray.bench._machine import MALLOC
from kdray.bench._timing import seconds_of
from kdray.run.environment import prepare_environment

#: Makes the variants of a benchmark: name -> does its work once.
Factory = Callable[..., Mapping[str, Callable[[], object]]]

_variants: dict[str, Callable[[], object]] = {}


def workers_environment() -> dict[str, str]:
    """Return the environment that kdray gives its workers on this machine."""
    with _kept_environment():
        prepare_environment()
        return dict(os.environ)


def default_environment() -> dict[str, str]:
    """Return the environment of a plain PyTorch script: the allocator as the C library has it."""
    return {name: value for name, value in os.environ.items() if name not in MALLOC}


class Room:
    """One process in which variants are built once and timed often; a context manager.

    Args:
        environment: Its environment; the allocator reads it when the process starts.
        threads: Threads of its tensor operations.
    """

    def __init__(self, environment: Mapping[str, str], threads: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, mp_context=spawn)
        with _kept_environment():
            os.environ.clear()
            os.environ.update({**environment, "OMP_NUM_THREADS": str(threads)})
            self._process.submit(_begin, threads).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.shutdown()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what a function of a module returns there."""
        return self._process.submit(function, *args).result()

    def build(self, factory: Factory, *args: Any) -> dict[str, Callable[[], float]]:
        """Build variants there, and return for each what does it once and gives its seconds."""
        names: list[str] = self.call(_build, factory, args)
        return {name: lambda name=name: self.call(_time, name) for name in names}  # type: ignore[misc]

    def result(self, name: str) -> Any:
        """Do a built variant once, and return what it returns."""
        return self.call(_result, name)


def _begin(threads: int) -> None:
    import torch  # here and not above: its process must not be this one

    torch.set_num_threads(threads)


def _build(factory: Factory, args: tuple[Any, ...]) -> list[str]:
    _variants.clear()  # of an earlier benchmark, whose networks take memory
    _variants.update(factory(*args))
    return list(_variants)


def _time(name: str) -> float:
    import torch

    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    wait = torch.cuda.synchronize if on_gpu else _nothing
    return seconds_of(_variants[name], wait)


def _result(name: str) -> object:
    return _variants[name]()


def _nothing() -> None:
    return None


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Leave this process's environment as it was."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
