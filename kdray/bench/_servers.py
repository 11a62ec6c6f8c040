"""Servers in processes of their own, asked one at a time; those that wait are held still."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from kdray.errors import RunError

#: Ray and Ray Serve take a minute to start on a busy machine of 2 cores.
START_SECONDS = 240.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Site:
    """How a server is started and asked.

    Args:
        name: What to call it.
        module: Started by ``python -m``.
        options: Of its command line; ``{port}`` stands for the port.
        path: Where it takes an upload.
        environment: What is set besides this process's own.
    """

    name: str
    module: str
    options: tuple[str, ...]
    path: str = "/predict"
    environment: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A server that runs; a context manager.

    Args:
        site: How it is started.
        port: Where it listens.
    """

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.port = port
        self._log: IO[bytes] = tempfile.TemporaryFile()
        options = [option.format(port=port) for option in site.options]
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", site.module, *options],
            env={**os.environ, "OMP_NUM_THREADS": "1", **site.environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._still: list[int] = []
        try:
            self.start_seconds = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def memory_mb(self) -> float:
        """Return the resident memory of its process, MB; not of processes that it started."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        [kilobytes] = [line.split()[1] for line in status.splitlines() if line[:6] == "VmRSS:"]
        return int(kilobytes) * 1024 / 1e6

    def hold(self) -> None:
        """Hold it and all that it started still, so that it takes no time from others."""
        self._still = tree(self.pid)
        for pid in self._still:
            _signal(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        for pid in reversed(self._still):
            _signal(pid, signal.SIGCONT)
        self._still = []

    def stop(self) -> None:
        """End it, and all that it started."""
        self.go_on()
        began = tree(self.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        for pid in began:
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def said(self) -> str:
        """Return what it has written."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _wait_until_ready(self) -> float:
        end = self._started + START_SECONDS
        while time.perf_counter() < end:
            if self._process.poll() is not None:
                problem = f"ended with {self._process.returncode}: {self.said()[-2000:]}"
                raise RunError(self.site.name, problem)
            with contextlib.suppress(OSError), _opened(f"{self.url}/readyz") as answer:
                if answer == 200:
                    return time.perf_counter() - self._started
            time.sleep(0.1)
        raise RunError(self.site.name, f"was not ready after {START_SECONDS:g} s.", self.said())


class Servers:
    """Servers that are started when first asked for; only the last one asked for runs."""

    def __init__(self, tell: Callable[[str], None] = lambda text: None) -> None:
        self._tell = tell
        self._servers: dict[str, Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers.values():
            server.stop()

    def alone(self, site: Site) -> Server:
        """Return a server that runs while all others are held still."""
        for name, other in self._servers.items():
            if name != site.name:
                other.hold()
        if site.name in self._servers:
            self._servers[site.name].go_on()
        else:
            self._tell(f"start of {site.name}")
            self._servers[site.name] = Server(site, free_port())
        return self._servers[site.name]

    def drop(self, sites: Sequence[Site]) -> None:
        """End servers that are not asked any more."""
        for site in sites:
            server = self._servers.pop(site.name, None)
            if server is not None:
                server.stop()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they still run."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                facts = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(facts[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


@contextlib.contextmanager
def _opened(url: str) -> Iterator[int]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            yield int(answer.status)
    except urllib.error.HTTPError as error:
        yield error.code


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
