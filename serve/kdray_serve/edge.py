"""``kdray serve --edge``: the whole service in one process, without Ray and without PyTorch."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import uvicorn

from kdray.spec.keys import ApiKey
from kdray.spec.service import Service
from kdray_serve.records.logs import set_up
from kdray_serve.whole import Whole

#: How long an idle connection is kept, seconds; longer than the 60 s of common proxies.
_KEEP_ALIVE = 75
#: How many requests may wait to be accepted.
_BACKLOG = 512
#: Most images of a forward pass.
_BATCH = 4
#: Names of glibc's mallopt; each thread with memory of its own costs some ten megabytes.
_M_ARENA_MAX, _ARENAS = -8, 2


def serve_edge(
    service: Service, keys: Sequence[ApiKey], ready: Callable[[float], None], began: float
) -> None:
    """Serve until SIGINT or SIGTERM; what is being answered then is answered.

    Args:
        service: What is served.
        keys: The keys made at the start, where the service's ``auth`` is null.
        ready: Told how many seconds the start took.
        began: When it began, as ``time.perf_counter`` has it.

    Raises:
        KdrayError: A model is missing or damaged.
    """
    _few_arenas()
    set_up(service.log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(
            _serve(for_this_machine(service), keys, lambda: ready(time.perf_counter() - began))
        )


def for_this_machine(service: Service) -> Service:
    """Return the service with a thread that predicts for each processor, and small batches.

    On processors an image of a batch of 4 or 8 takes no less time than one alone (MobileNetV3-S:
    2.2 ms each), but each thread keeps the memory of the largest batch that it has seen.
    """
    cores = len(os.sched_getaffinity(0))
    small = min(service.batching.max_size, _BATCH)
    batching = service.batching.model_copy(update={"max_size": small})
    changes = {"cpus_per_replica": float(cores), "batching": batching}
    return service.model_copy(update=changes)


async def _serve(service: Service, keys: Sequence[ApiKey], ready: Callable[[], None]) -> None:
    whole = Whole(service, keys, may_use_torch=False)
    try:
        await whole.start()
        gc.collect()
        gc.freeze()  # what is there now stays: no need to look through it again and again
        server = _Server(configuration(service, whole), ready)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        await server.serve()
    finally:
        await whole.close()


def configuration(service: Service, whole: Whole) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        whole.app,
        host=service.host,
        port=service.port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(service.limits.explain_seconds),
    )


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the signals to us: uvicorn would raise them again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


def _few_arenas() -> None:
    """Have threads share memory: glibc keeps some for each of them otherwise."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
