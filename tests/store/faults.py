"""A loopback proxy before an S3 server that fails as networks and servers do."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: Bytes of a body that are read, or sent, before it is cut.
_SOME = 100
_HOP = ("connection", "expect", "transfer-encoding", "keep-alive", "date", "server")
Passed = tuple[http.client.HTTPResponse, bytes]


@dataclass
class Fault:
    """What becomes of the next requests of one kind.

    Args:
        act: Answers in the server's place, or does not.
        method: Of the requests: ``PUT``.
        part: What the path and query of the requests contain.
        after: Requests of this kind that are let through first.
        times: Requests of this kind that fail then.
    """

    act: Callable[[Any], None]
    method: str
    part: str
    after: int
    times: float

    def takes(self, method: str, path: str) -> bool:
        """Return whether a request fails, and count it."""
        if method != self.method or self.part not in path or not self.times:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


class Proxy:
    """Passes requests on to a server, until told to fail.

    Args:
        server: Host and port of the S3 server.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.seen: list[str] = []
        self.connections: list[socket.socket] = []
        self._faults: list[Fault] = []
        self._alone = threading.Lock()
        self._port = 0
        self._http: http.server.ThreadingHTTPServer | None = None
        self.open()

    def open(self) -> None:
        """Listen; after ``close`` again on the same port."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        """Be gone: connections are ended and refused."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None
        for connection in self.connections:
            with contextlib.suppress(OSError):  # ended before
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def before(self, uri: str) -> str:
        """Return a URI of the server that leads through this proxy."""
        return uri.replace(self.server, f"127.0.0.1:{self._port}")

    def fail(
        self,
        act: Callable[[Any], None],
        method: str,
        part: str = "",
        after: int = 0,
        times: float = 1,
    ) -> None:
        """Let requests fail; see ``Fault``."""
        self._faults.append(Fault(act, method, part, after, times))

    def heal(self) -> None:
        """Let no request fail any more."""
        self._faults.clear()

    def fault(self, method: str, path: str) -> Fault | None:
        """Return what becomes of a request, or None where it is passed on."""
        with self._alone:
            self.seen.append(f"{method} {path}")
            return next((one for one in self._faults if one.takes(method, path)), None)


def refused(status: int, code: str) -> Callable[[Any], None]:
    """Return a fault: the server refuses."""

    def act(request: _Handler) -> None:
        request.body()
        said = f"<Error><Code>{code}</Code><Message>It says {code}</Message></Error>".encode()
        request.answer(status, {"Content-Type": "application/xml"}, said)

    return act


def reset(request: _Handler) -> None:
    """The connection is reset in mid-upload: a part of the body has arrived."""
    request.rfile.read(min(_SOME, request.length))
    request.cut()


def unanswered(request: _Handler) -> None:
    """The server does as it is asked, and the connection is reset before it can say so."""
    request.passed()
    request.cut()


def half(request: _Handler) -> None:
    """The connection is reset in the middle of the answer."""
    answer, data = request.passed()
    request.answer(answer.status, dict(answer.headers), data, data[: len(data) // 2])
    request.cut()


def short(request: _Handler) -> None:
    """The connection is closed in order, in the middle of the answer."""
    answer, data = request.passed()
    request.answer(answer.status, dict(answer.headers), data, data[: len(data) // 2])
    request.close_connection = True


def undeleted(code: str) -> Callable[[Any], None]:
    """Return a fault: an answer to a deletion of several, of which one was refused."""

    def act(request: _Handler) -> None:
        request.body()
        said = f"<Error><Key>lab/a/one.txt</Key><Code>{code}</Code><Message>no</Message></Error>"
        request.answer(200, {}, f"<DeleteResult>{said}</DeleteResult>".encode())

    return act


class _Handler(http.server.BaseHTTPRequestHandler):
    """Passes a request on, or lets it fail."""

    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Begin a connection."""
        super().setup()
        self.proxy.connections.append(self.connection)

    @property
    def length(self) -> int:
        """Bytes of the request's body."""
        return int(self.headers.get("Content-Length") or 0)

    def do_GET(self) -> None:
        """Answer a request of any method."""
        fault = self.proxy.fault(self.command, self.path)
        try:
            if fault is not None:
                fault.act(self)
            else:
                answer, data = self.passed()
                self.answer(answer.status, dict(answer.headers), data)
        except ConnectionError:  # the client is gone
            self.close_connection = True

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def body(self) -> bytes:
        """Return the request's body, whole."""
        found = self.rfile.read(self.length)
        if len(found) < self.length:
            raise ConnectionResetError
        return found

    def passed(self) -> Passed:
        """Pass the request on, and return the server's answer and its body."""
        server = http.client.HTTPConnection(urlsplit(f"//{self.proxy.server}").netloc)
        headers = {name: value for name, value in self.headers.items() if _is_passed(name)}
        server.request(self.command, self.path, self.body(), headers)
        answer = server.getresponse()
        data = answer.read()
        server.close()
        return answer, data

    def answer(
        self, status: int, headers: dict[str, str], data: bytes, sent: bytes | None = None
    ) -> None:
        """Answer with a body, of which only a part may be sent."""
        self.send_response_only(status)
        for name, value in headers.items():
            if _is_passed(name) and name.lower() != "content-length":
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data if sent is None else sent)
            self.wfile.flush()

    def cut(self) -> None:
        """Reset the connection: what was sent and not read is thrown away."""
        self.close_connection = True
        now = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.connection.close()
        self.rfile.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _is_passed(name: str) -> bool:
    return name.lower() not in _HOP
