"""What processes hold of files in memory: pages that several of them share count once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self


def mapped_bytes(smaps: Iterable[str], folder: str) -> int:
    """Return a process's part of the files of a folder that it maps, bytes.

    A page that n processes hold counts as 1/n for each (``Pss``), so the sum over all processes
    is what lies in memory.

    Args:
        smaps: Lines of ``/proc/PID/smaps``.
        folder: The folder, absolute.
    """
    total, inside = 0, False
    for line in smaps:
        name, _, rest = line.partition(" ")
        if "-" in name and not name.endswith(":"):
            inside = f"{folder}/" in rest
        elif inside and name == "Pss:":
            total += int(rest.split()[0]) * 1024
    return total


class Watch:
    """Looks at processes from a thread while its block runs, and keeps the most that they hold.

    Args:
        folder: Files of this folder count.
        interval_s: Seconds between two looks.
    """

    def __init__(self, folder: Path, interval_s: float = 0.2) -> None:
        self.most = 0
        self._interval_s = interval_s
        self._folder = str(folder.resolve())
        self._pids: set[int] = set()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()

    def add(self, pid: int) -> None:
        """Look at this process as well."""
        self._pids = {*self._pids, pid}

    def _look(self) -> None:
        while not self._left.wait(self._interval_s):
            self.most = max(self.most, sum(_held(pid, self._folder) for pid in self._pids))


def _held(pid: int, folder: str) -> int:
    """Return what a process holds; nothing once it has ended."""
    try:
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as lines:
            return mapped_bytes(lines, folder)
    except (FileNotFoundError, ProcessLookupError):
        return 0
