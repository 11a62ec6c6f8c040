"""Writes the audit log: one line an answer, by a thread beside the requests.

An answer that cannot be written down is not given: where the storage refuses lines for so long
that the queue is full, requests are answered 503 until it takes them again.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdray import __version__
from kdray.served import audit
from kdray.store import Store
from kdray_serve.meter import Answered
from kdray_serve.records.background import Background
from kdray_serve.refusal import Refusal
from kdray_serve.work import Predicted

_LOG = logging.getLogger("kdray.audit")
#: Objects of a remote storage are written this often, or with this many lines.
_OBJECT_S, _OBJECT_LINES = 10.0, 500
#: A local file is forced onto the disk at most this often, seconds.
_SYNC_S = 1.0


class AuditLog:
    """The audit log of one process.

    Args:
        store: The service's storage.
        service: The service's name.

    Raises:
        StoreError: The storage refuses the first line.
        OSError: Likewise.
    """

    def __init__(self, store: Store, service: str) -> None:
        self._chain = _Chain(store, service)
        self._chain.write([{"event": audit.OPENED, **_opening(service)}])
        self._queue: Background[Mapping[str, Any]] = Background(
            "audit log",
            self._chain.write,
            every_s=0.0 if store.is_local else _OBJECT_S,
            batch=_OBJECT_LINES,
            idle=self._chain.sync,
        )

    @property
    def waiting(self) -> int:
        """How many lines are not written yet."""
        return self._queue.waiting

    @property
    def failures(self) -> int:
        """How often the storage has refused lines."""
        return self._queue.failures

    def note(self, facts: Mapping[str, Any]) -> None:
        """Write down an answer.

        Args:
            facts: JSON-able; :func:`line_of` makes them.

        Raises:
            Refusal: The storage has refused lines for too long.
        """
        if not self._queue.put(facts):
            detail = "Answers cannot be written to the audit log now, so none are given."
            raise Refusal(503, detail, {"Retry-After": "5"})

    def close(self) -> None:
        """Write what waits, and that the log ends here."""
        self._queue.put({"event": audit.CLOSED, "when": now()})
        self._queue.close()
        self._chain.close()


def lines_of(answered: Answered, flag_above: float) -> Iterator[dict[str, Any]]:
    """Yield what the log says of a request that was answered: one line for each image.

    Args:
        answered: The request and its answer.
        flag_above: Score from which on an image is said to be unlike the training images.
    """
    common = {
        "when": _iso(datetime.fromtimestamp(answered.when, UTC)),
        "who": answered.caller.name,
        "request_id": answered.caller.request_id,
        "route": answered.route,
        "model": answered.key[0],
        "version": answered.key[1],
        "weights_sha256": answered.weights_sha256,
        "canary": answered.is_canary,
    }
    looked = _looked(answered)
    for predicted in answered.predicted:
        said = {**_said(answered.classes, predicted, flag_above), **looked}
        yield {**common, "image_sha256": predicted.sha256, "answer": said}


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return _iso(datetime.now(UTC))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(classes: Sequence[str], predicted: Predicted, flag_above: float) -> dict[str, Any]:
    place, places, score = predicted.place, predicted.prediction_set, predicted.ood_score
    return {
        "class": classes[place],
        "probability": round(float(predicted.probabilities[place]), 6),
        "set": None if places is None else [classes[member] for member in places],
        "ood_score": None if score is None else round(float(score), 6),
        "ood": None if score is None else score > flag_above,
    }


def _looked(answered: Answered) -> dict[str, Any]:
    """Return which explanation was shown; nothing of a request for none."""
    explained = answered.explained
    if explained is None:
        return {}
    beside = explained.beside
    return {
        "method": explained.mapped.method,
        "explained": [answered.classes[place] for place in explained.mapped.places],
        "against": None if beside is None else f"{beside.model[0]}@{beside.model[1]}",
    }


class _Chain:
    """Seals lines and writes them: all of a call, or none.

    Args:
        store: Where to.
        service: Whose.
    """

    def __init__(self, store: Store, service: str) -> None:
        host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname()).strip("-") or "host"
        self._name = f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self._store, self._folder = store, audit.folder(service)
        self._head = ""
        self._number = 0
        self._date = ""
        self._file: _File | None = None

    def write(self, entries: Sequence[Mapping[str, Any]]) -> None:
        lines, head = [], self._head
        for facts in entries:
            line, head = audit.seal(facts, head)
            lines.append(line)
        self._append(b"".join(lines), now()[:10])
        self._head = head

    def sync(self) -> None:
        """Force the last lines onto the disk, after which none came."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes, date: str) -> None:
        if not self._store.is_local:
            name = audit.file_name(date, self._name, self._number + 1)
            self._store.write(f"{self._folder}/{name}", data)
            self._number += 1
            return
        if self._file is None or date != self._date:
            self.close()
            name = audit.file_name(date, self._name, self._number + 1)
            self._file = _File(Path(self._store.path(f"{self._folder}/{name}")))
            self._date, self._number = date, self._number + 1
        self._file.append(data)


class _File:
    """A local file that grows by whole lines; readable by its owner and group alone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._size = self._synced_size = 0
        self._synced = 0.0

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)  # a torn line would look like tampering
            raise
        self._size += len(data)
        if time.monotonic() - self._synced >= _SYNC_S:
            self.sync()

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)

    def sync(self) -> None:
        if self._size == self._synced_size:
            return
        self._synced, self._synced_size = time.monotonic(), self._size
        try:
            os.fsync(self._descriptor)
        except OSError as error:  # the lines are in the file: writing them again would double them
            _LOG.error("the audit log cannot be forced onto the disk: %s", error)


def _opening(service: str) -> dict[str, Any]:
    facts = {"service": service, "host": socket.gethostname(), "pid": os.getpid()}
    return {"when": now(), **facts, "kdray": __version__}
