"""The audit log of a service: JSON lines, each holding the hash of the line before it.

Each process of a service writes a chain of its own, in files
``services/SERVICE/audit/DATE-HOST-PID-TOKEN-NUMBER.jsonl``. The first line of a chain tells who
opened it, the last, after a clean end, that it was closed. Whoever changes, removes or inserts a
line has to write all later lines of the chain anew, which shows as soon as one hash was noted
elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdray.store import Store

_NAME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)-(?P<chain>.+-\d+-[0-9a-f]{8})-(?P<number>\d{6})\.jsonl"
)
_ENCODER = json.JSONEncoder(separators=(",", ":"))
#: What ``event`` of the first and of the last line of a chain says; answers have no ``event``.
OPENED, CLOSED = "opened", "closed"


@dataclass(frozen=True)
class Chain:
    """The log of one process.

    Args:
        name: Host, process and a token of the process.
        lines: How many it has.
        head: Hash of the last line; noted elsewhere, it proves all lines before it.
        is_closed: Whether the process ended cleanly; else it runs, or was killed.
        problems: What is wrong with it; empty where nothing is.
        hashes: Hashes of all lines.
    """

    name: str
    lines: int
    head: str
    is_closed: bool
    problems: tuple[str, ...]
    hashes: frozenset[str]


def folder(service: str) -> str:
    """Return where the audit log of a service is, below its storage."""
    return f"services/{service}/audit"


def file_name(date: str, chain: str, number: int) -> str:
    """Return the name of the ``number``-th file of a chain, begun on a ``date``."""
    return f"{date}-{chain}-{number:06d}.jsonl"


def seal(facts: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """Return a line of the log, and its hash.

    Args:
        facts: What it says.
        before: Hash of the line before; empty for the first of a chain.
    """
    line = _ENCODER.encode({**facts, "before": before}).encode()
    return line + b"\n", hashlib.sha256(line).hexdigest()


def answers(store: Store, service: str) -> list[dict[str, Any]]:
    """Return what was answered, the earliest first; lines that are damaged are left out."""
    found = (
        line
        for chain in _files(store, service).values()
        for _, lines in _lines(store, service, chain)
        for line in map(_read, lines)
        if line is not None and "event" not in line
    )
    return sorted(found, key=lambda line: str(line.get("when", "")))


def verify(store: Store, service: str) -> list[Chain]:
    """Return the chains of a service's log, each with all that is wrong with it."""
    files = _files(store, service)
    return [_checked(name, _lines(store, service, files[name])) for name in sorted(files)]


def _files(store: Store, service: str) -> dict[str, list[str]]:
    """Return for each chain its files, in the order of writing."""
    chains: dict[str, list[tuple[int, str]]] = {}
    for name in store.list(folder(service)):
        match = _NAME.fullmatch(name)
        if match:
            chains.setdefault(match["chain"], []).append((int(match["number"]), name))
    return {chain: [name for _, name in sorted(files)] for chain, files in chains.items()}


def _lines(store: Store, service: str, files: Iterable[str]) -> Iterator[tuple[str, list[bytes]]]:
    for name in files:
        content = store.read(f"{folder(service)}/{name}") or b""
        yield name, content.splitlines(keepends=True)


def _checked(name: str, files: Iterable[tuple[str, list[bytes]]]) -> Chain:
    problems: list[str] = []
    hashes: list[str] = []
    before, event, expected = "", None, 1
    for file, lines in files:
        number = int(file[-12:-6])
        if number != expected:
            problems.append(f"{file}: {number - expected} files before it are missing.")
        expected = number + 1
        for place, line in enumerate(lines, start=1):
            read = _read(line)
            if read is None:
                problems.append(f"{file}:{place}: the line is damaged, or was cut off.")
            else:
                problems += _misplaced(f"{file}:{place}", read, before, is_first=not hashes)
                event = read.get("event")
            before = hashlib.sha256(line.rstrip(b"\n")).hexdigest()
            hashes.append(before)
    return Chain(name, len(hashes), before, event == CLOSED, tuple(problems), frozenset(hashes))


def _misplaced(where: str, line: Mapping[str, Any], before: str, *, is_first: bool) -> list[str]:
    if is_first and line.get("event") != OPENED:
        return [f"{where}: the beginning of this log is missing."]
    if not is_first and line.get("before") != before:
        return [f"{where}: the line before it was changed, removed or inserted."]
    return []


def _read(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; None where it is no whole line."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
