"""The counts of a machine on a port of their own, for Prometheus within a cluster.

In a cluster a request for ``/metrics`` may be answered by another machine than the one that was
asked, so the counts of some would be read twice and those of others never. Here each machine
shows its own: the process that has the port, one of those that share the counts. When it ends,
another takes the port.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kdray_serve.records.metrics import MEDIA_TYPE, shared_text

#: How long a process waits before it tries again to get the port, seconds.
_RETRY_S = 5.0


def scrape_on(port: int, retry_s: float = _RETRY_S) -> None:
    """Show the counts at ``http://*:port/metrics``, now or once the port is free.

    Args:
        port: The port; 0: any.
        retry_s: How long to wait before the port is tried again, seconds.
    """

    def serve() -> None:
        while True:
            try:
                server = open_scrape(port)
            except OSError:  # another process of this machine has it
                time.sleep(retry_s)
                continue
            with server:
                server.serve_forever()

    threading.Thread(target=serve, name="scrape", daemon=True).start()


def open_scrape(port: int, host: str = "0.0.0.0") -> ThreadingHTTPServer:
    """Return the server of the counts, which listens already.

    Raises:
        OSError: The port is taken.
    """
    return ThreadingHTTPServer((host, port), _Scrape)


class _Scrape(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        text = shared_text()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", MEDIA_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: Prometheus asks every few seconds."""
