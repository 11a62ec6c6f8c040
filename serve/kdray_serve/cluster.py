"""The service on a Ray of its own, on this machine."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from kdray.errors import RunError
from kdray.served.cluster import LOG_PIPE, METRICS_FOLDER, SETTINGS
from kdray.spec.keys import ApiKey
from kdray.spec.service import Service

NAME = "kdray"


def serve_ray(
    service: Service, keys: Sequence[ApiKey], ready: Callable[[float], None], began: float
) -> None:
    """Serve on Ray until SIGINT or SIGTERM.

    Args:
        service: What is served.
        keys: The keys made at the start, where the service's ``auth`` is null.
        ready: Told how many seconds the start took.
        began: When it began, as ``time.perf_counter`` has it.

    Raises:
        RunError: Ray does not start, or the service does not.
    """
    folder = Path(tempfile.mkdtemp(prefix="kdray-serve-ray-"))
    try:
        _prepare_environment(folder)
        _pass_on_logs(folder)
        _run(service, keys, lambda: ready(time.perf_counter() - began))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(service: Service, keys: Sequence[ApiKey], ready: Callable[[], None]) -> None:
    names = ", ".join(f"{model.name}@{model.version}" for model in service.models)
    print(f"kdray serve: starting Ray and loading {names} ...", flush=True)
    import ray  # after the environment is set, and after the quick checks
    from ray import serve

    from kdray_serve.deployment import build

    running = False
    try:
        _start(service)
        quiet = {"log_level": "WARNING", "enable_access_log": False}
        serve.run(build(service, keys), name=NAME, logging_config=quiet)
        running = True
        ready()
        threading.Event().wait()
    except RuntimeError as error:
        raise RunError("kdray serve", f"the service did not start: {error}.") from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # stopping is on its way already
        if running:
            with suppress(RuntimeError):
                serve.delete(NAME)  # lets the replicas finish what they are answering
        ray.shutdown()


def _prepare_environment(folder: Path) -> None:
    """Set what Ray's processes inherit; their ports are closed to strangers."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if METRICS_FOLDER not in os.environ:
        shared = folder / "metrics"
        shared.mkdir()
        os.environ[METRICS_FOLDER] = str(shared)


def _pass_on_logs(folder: Path) -> None:
    """Write the log lines of all processes to the standard error of this one.

    Ray would collect them too, but its way costs as much as answering a request.
    """
    pipe = folder / "log"
    os.mkfifo(pipe, 0o600)
    os.environ[LOG_PIPE] = str(pipe)
    # Open for reading and writing, so that it stays open when the last writer ends.
    source = os.open(pipe, os.O_RDWR)

    def copy() -> None:
        while data := os.read(source, 1 << 16):
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()

    threading.Thread(target=copy, name="log", daemon=True).start()


def _start(service: Service) -> None:
    import ray
    from ray import serve

    needed = 2 * service.autoscaling.max_replicas * service.cpus_per_replica
    try:
        ray.init(
            address="local",  # never joins a cluster that happens to run here
            num_cpus=max(os.cpu_count() or 1, math.ceil(needed)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="warning",
        )
    except Exception as error:  # Ray raises just this when a process of it does not start
        raise RunError("Ray", f"did not start: {error}", "Its log says more.") from error
    _stop_on_signals()  # Ray has put its own in place
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(
        http_options={"host": service.host, "port": service.port},
        logging_config={"log_level": "ERROR", "enable_access_log": False},
    )


def _stop_on_signals() -> None:
    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
