"""``python -m kdray_serve``: a Service spec, served on this machine until it is stopped."""

from __future__ import annotations

import argparse
import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from kdray.errors import JobError, KdrayError, RunError
from kdray.registry import Registry
from kdray.spec.service import Service
from kdray_serve.catalogue import key, pinned

_NAME = "kdray"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code.

    Args:
        arguments: The command line; None: that of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m kdray_serve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="Service spec as JSON.")
    options = parser.parse_args(arguments)
    _stop_on_signals()
    try:
        service = pinned(_read(options.config))
        _check_port(service.host, service.port)
        _check_packages(service)
        _serve(service)
    except KdrayError as error:
        print(f"error {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, SystemExit):  # Ray's own handler of SIGTERM raises the latter
        print("kdray serve: stopped.", flush=True)
    return 0


def _read(file: Path) -> Service:
    try:
        return Service.model_validate_json(file.read_bytes())
    except OSError as error:
        raise JobError(str(file), f"cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise JobError(str(file), f"is no Service: {error}.") from error


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            problem = f"cannot listen here: {error.strerror}."
            raise JobError(f"{host}:{port}", problem, "Choose another with --port.") from error


def _check_packages(service: Service) -> None:
    """Find a damaged package before Ray starts, where the message is plain."""
    registry = Registry(service.registry)
    for model in service.models:
        registry.fetch(*key(model))


def _serve(service: Service) -> None:
    _prepare_environment()
    print(f"kdray serve: starting Ray and loading {_names(service)} ...", flush=True)
    import ray  # after the environment is set, and after the quick checks
    from ray import serve

    from kdray_serve.deployment import application

    running = False
    try:
        _start(service)
        serve.run(
            application(service.model_dump(mode="json")),
            name=_NAME,
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        running = True
        host = "127.0.0.1" if service.host == "0.0.0.0" else service.host
        print(f"kdray serve: ready at http://{host}:{service.port} - Ctrl-C stops it.", flush=True)
        threading.Event().wait()
    except RuntimeError as error:
        raise RunError("kdray serve", f"the service did not start: {error}.") from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # stopping is on its way already
        if running:
            with suppress(RuntimeError):
                serve.delete(_NAME)  # lets the replicas finish what they are answering
        ray.shutdown()


def _prepare_environment() -> None:
    """Close Ray's own ports to strangers: they listen on every address of the machine."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A busy small machine is slow, not broken: Ray's own patience is 30 s.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "180000")


def _start(service: Service) -> None:
    import ray
    from ray import serve

    needed = 2 * service.autoscaling.min_replicas * service.cpus_per_replica
    try:
        ray.init(
            address="local",  # never joins a cluster that happens to run here
            num_cpus=max(os.cpu_count() or 1, math.ceil(needed)),
            include_dashboard=False,
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


def _names(service: Service) -> str:
    return ", ".join(f"{model.name}@{model.version}" for model in service.models)


def _stop_on_signals() -> None:
    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


if __name__ == "__main__":
    sys.exit(main())
