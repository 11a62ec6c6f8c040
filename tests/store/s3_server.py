"""An S3 server on loopback: `python s3_server.py PORT`. What it holds is gone with the process.

Moto compares If-Match and If-None-Match and then writes: two steps, between which another of its
threads may write. Here one request is answered at a time, so that the two are one, as on a server
that keeps what S3 promises.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., list[bytes]]:
    """Return an application that answers one request after the other."""
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with lock:
            return list(app(environ, start_response))

    return answer


if __name__ == "__main__":
    served = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), served, threaded=True, request_handler=Quiet)
