"""``python -m kdray_serve``: a Service spec, served on this machine until it is stopped."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from kdray.errors import JobError, KdrayError
from kdray.registry import Registry
from kdray.spec.keys import ApiKey, make_key
from kdray.spec.service import Service, is_loopback
from kdray_serve.answering.catalogue import Catalogue
from kdray_serve.answering.engines import has_serving_files

#: The address that listens on all addresses.
_ANY = ("0.0.0.0", "::")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code.

    Args:
        arguments: The command line; None: that of the process.
    """
    began = time.perf_counter()
    parser = argparse.ArgumentParser(prog="python -m kdray_serve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="Service spec as JSON.")
    parser.add_argument("--edge", action="store_true", help="Without Ray and PyTorch.")
    parser.add_argument("--port", type=int, help="In place of the spec's.")
    options = parser.parse_args(arguments)
    _stop_on_signals()
    try:
        service = _read(options.config, options.port)
        _check_port(service.host, service.port)
        _check_packages(service, options.edge)
        keys, secret = _keys(service)
        _serve(service, keys, options.edge, (_teller(service, secret), began))
    except KdrayError as error:
        print(f"error {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, SystemExit):  # Ray's own handler of SIGTERM raises the latter
        pass
    print("kdray serve: stopped.", flush=True)
    return 0


def _serve(
    service: Service,
    keys: Sequence[ApiKey],
    edge: bool,
    start: tuple[Callable[[float], None], float],
) -> None:
    """Serve until a signal.

    Args:
        service: What is served.
        keys: The keys made now.
        edge: Whether without Ray.
        start: What is told when requests are answered, and when all began.
    """
    if edge:
        from kdray_serve.edge import serve_edge  # and nothing of Ray

        serve_edge(service, keys, *start)
    else:
        from kdray_serve.cluster import serve_ray

        serve_ray(service, keys, *start)


def _read(file: Path, port: int | None) -> Service:
    try:
        service = Service.model_validate_json(file.read_bytes())
    except OSError as error:
        raise JobError(str(file), f"cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise JobError(str(file), f"is no Service: {error}.") from error
    return service if port is None else service.model_copy(update={"port": port})


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            problem = f"cannot listen here: {error.strerror}."
            raise JobError(f"{host}:{port}", problem, "Choose another with --port.") from error


def _check_packages(service: Service, edge: bool) -> None:
    """Find what cannot be served before anything is started, where the message is plain.

    Raises:
        RegistryError: A model is missing or damaged.
        JobError: It cannot be served without PyTorch, and has to be.
    """
    registry, catalogue = Registry(service.registry), Catalogue(service)
    for model in service.models:
        version = catalogue.resolve(model.name, model.version)
        if not has_serving_files(registry.fetch(model.name, version)) and edge:
            raise JobError(
                f"{model.name}@{version}",
                "was promoted without the files that --edge needs.",
                "Promote it again with this version of kdray, or serve it without --edge.",
            )


def _keys(service: Service) -> tuple[tuple[ApiKey, ...], str]:
    """Return the key of a service that has none of its own, and the key itself for its owner."""
    if service.auth is not None:
        return (), ""
    secret, kept = make_key("start", ("admin",))
    return (kept,), secret


def _teller(service: Service, secret: str) -> Callable[[float], None]:
    """Return what says that requests are answered, and where."""
    host = "127.0.0.1" if service.host in _ANY else service.host
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{service.port}"

    def ready(seconds: float) -> None:
        took = f"after {seconds:.1f} s"
        print(f"kdray serve: ready at {url} {took} - Ctrl-C stops it.", flush=True)
        if secret:
            print(f"kdray serve: open {url}/#key={secret}", flush=True)
            print("kdray serve: this key has all rights and ends with the service.", flush=True)
        if not is_loopback(service.host):
            print("kdray serve: the network can reach this; put TLS before it.", flush=True)

    return ready


def _stop_on_signals() -> None:
    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


if __name__ == "__main__":
    sys.exit(main())
