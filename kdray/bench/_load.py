"""Asks an HTTP server for a while and tells how long the answers took: a process of its own.

As light as it gets in Python, since it shares the machine with what it measures: whole requests
as bytes, plain sockets that are kept alive, one thread. ``python -m kdray.bench._load`` reads a
``Load`` as JSON and writes what it found as JSON.
"""

from __future__ import annotations

import base64
import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_CHUNK = 1 << 18
#: How long an answer is waited for after the end, seconds.
_PATIENCE = 30.0


@dataclass
class _Line:
    """A connection, and the request that is on it."""

    socket: socket.socket
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytearray = field(default_factory=bytearray)
    since: float = 0.0


class Loader:
    """Keeps connections busy.

    Args:
        host: Where the server listens.
        port: Its port.
        requests: Whole HTTP requests, asked in turn.
        clients: Connections.
        rate: Requests a second, at random moments, however long the answers take; None: each
            connection asks again as soon as it is answered.
    """

    def __init__(
        self,
        host: str,
        port: int,
        requests: list[bytes],
        clients: int,
        rate: float | None = None,
    ) -> None:
        self._address = (host, port)
        self._requests = requests
        self._rate = rate
        self._asked = 0
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Line] = deque()
        self._waiting: deque[float] = deque()
        self._milliseconds: list[float] = []
        self._failures: dict[str, int] = {}
        for _ in range(clients):
            self._open()

    def run(self, seconds: float) -> dict[str, Any]:
        """Ask for some seconds; return the latencies in ms, the failures and the time it took."""
        start = time.perf_counter()
        end = start + seconds
        arrivals = self._arrivals(start, end)
        coming = next(arrivals, None)
        busy = True
        while busy:
            now = time.perf_counter()
            while coming is not None and coming <= now:
                self._waiting.append(coming)
                coming = next(arrivals, None)
            self._begin(now, now < end)
            self._turn(_pause(now, coming))
            pending = bool(self._waiting) or coming is not None or now < end
            busy = (pending or self._is_asking()) and now < end + _PATIENCE
        took = (time.perf_counter() if self._rate else min(time.perf_counter(), end)) - start
        self._close()
        return {"seconds": took, "milliseconds": self._milliseconds, "failures": self._failures}

    def _arrivals(self, start: float, end: float) -> Iterator[float]:
        """Yield the moments at which requests come in, as a Poisson process has them."""
        if self._rate is None:
            return
        chance = random.Random(0)
        moment = start + chance.expovariate(self._rate)
        while moment < end:
            yield moment
            moment += chance.expovariate(self._rate)

    def _begin(self, now: float, go_on: bool) -> None:
        """Ask on idle connections what is to be asked now."""
        while self._idle:
            if self._rate is not None and not self._waiting:
                return
            if self._rate is None and not go_on:
                return
            line = self._idle.popleft()
            line.since = self._waiting.popleft() if self._waiting else now
            line.unsent = memoryview(self._requests[self._asked % len(self._requests)])
            line.answer.clear()
            self._asked += 1
            self._selector.modify(line.socket, selectors.EVENT_WRITE, line)
            self._send(line)

    def _turn(self, pause: float) -> None:
        for key, events in self._selector.select(pause):
            line: _Line = key.data
            if events & selectors.EVENT_WRITE:
                self._send(line)
            elif events & selectors.EVENT_READ:
                self._receive(line)

    def _send(self, line: _Line) -> None:
        try:
            sent = line.socket.send(line.unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(line, type(error).__name__)
            return
        line.unsent = line.unsent[sent:]
        if not line.unsent:
            self._selector.modify(line.socket, selectors.EVENT_READ, line)

    def _receive(self, line: _Line) -> None:
        try:
            got = line.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(line, type(error).__name__)
            return
        if not got:
            self._fail(line, "closed")
            return
        line.answer += got
        status = status_of(line.answer)
        if status is None:
            return
        if status == 200:
            self._milliseconds.append((time.perf_counter() - line.since) * 1000)
        else:
            self._count(str(status))
        line.since = 0.0
        self._idle.append(line)

    def _fail(self, line: _Line, why: str) -> None:
        """Put another connection in the place of one that has ended."""
        if line.since:
            self._count(why)
        self._selector.unregister(line.socket)
        line.socket.close()
        if line in self._idle:
            self._idle.remove(line)
        self._open()

    def _count(self, why: str) -> None:
        self._failures[why] = self._failures.get(why, 0) + 1

    def _open(self) -> None:
        connection = socket.create_connection(self._address, timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        line = _Line(connection)
        self._selector.register(connection, selectors.EVENT_READ, line)
        self._idle.append(line)

    def _is_asking(self) -> bool:
        return len(self._idle) < len(self._selector.get_map())

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()


def status_of(answer: bytes | bytearray) -> int | None:
    """Return the status of an HTTP answer, or None while it is not all there."""
    head, mark, body = bytes(answer).partition(b"\r\n\r\n")
    if not mark:
        return None
    lines = head.lower().split(b"\r\n")
    status = int(lines[0].split()[1])
    for line in lines[1:]:
        if line.startswith(b"content-length:"):
            return status if len(body) >= int(line[15:]) else None
    return status if body.endswith(b"0\r\n\r\n") else None  # chunked


def _pause(now: float, coming: float | None) -> float:
    return 0.05 if coming is None else max(0.0, min(0.05, coming - now))


def main() -> None:
    """Read a load from the standard input, and write what was found."""
    wanted = json.load(sys.stdin)
    seconds = wanted.pop("seconds")
    requests = [base64.b64decode(text) for text in wanted.pop("requests")]
    json.dump(Loader(requests=requests, **wanted).run(seconds), sys.stdout)


if __name__ == "__main__":
    main()
