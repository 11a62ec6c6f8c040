"""A service under mixed load while its replicas are killed and its model is changed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdray.bench._servers import Server, tree
from kdray.bench._table import Row
from kdray.bench._timing import Spread
from kdray.bench._uploads import post_body
from kdray.errors import RunError
from kdray.registry import Registry

PREDICTING, EXPLAINING = 6, 2
#: Largest difference of a probability that is put down to the order of sums.
TOLERANCE = 1e-3
_KILL_EVERY_S = 60.0


#: Version -> for each file, its probabilities.
Expected = Mapping[int, Sequence[Mapping[str, float]]]


@dataclass(frozen=True)
class Chaos:
    """What is done to a service, and what it is asked.

    Args:
        minutes: How long; a replica is killed in each, and the model is changed halfway.
        registry: Where the model is.
        model: Its name; versions 1 and 2 are there and 1 is the champion.
        files: What is asked about.
        expected: What each version says of each file, worked out without the service.
    """

    minutes: float
    registry: Registry
    model: str
    files: Sequence[bytes]
    expected: Expected


@dataclass
class _Tally:
    """What the clients saw; a lock keeps their counts whole."""

    answers: dict[str, int] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    failed: list[tuple[float, float, str]] = field(default_factory=list)
    asking: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def chaos_rows(chaos: Chaos, server: Server, tell: Callable[[str], None]) -> list[Row]:
    """Return how many answers of a service were wrong or missing.

    Args:
        chaos: What is done to it.
        server: The service on Ray Serve.
        tell: Told what happens.
    """
    tally, over = _Tally(), threading.Event()
    verbs = ["predict"] * PREDICTING + ["explain"] * EXPLAINING
    clients = [_Client(chaos, server.port, tally, verb, n) for n, verb in enumerate(verbs)]
    threads = [threading.Thread(target=client.ask_until, args=(over,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        kills = _disturb(chaos, server, tally, tell)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return _rows(chaos, tally, kills)


def replicas(server: Server, deployment: str = "") -> list[int]:
    """Return the processes of a service's replicas.

    Args:
        server: The service on Ray Serve.
        deployment: Part of the name of its deployment.
    """
    found = []
    for pid in tree(server.pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if words.startswith("ray::ServeReplica") and deployment in words:
                found.append(pid)
    return sorted(found)


def _disturb(
    chaos: Chaos, server: Server, tally: _Tally, tell: Callable[[str], None]
) -> list[tuple[float, int]]:
    """Kill a replica a minute and change the model halfway; return when, and what was asked."""
    start = time.monotonic()
    end, switch = start + 60 * chaos.minutes, start + 30 * chaos.minutes
    kills: list[tuple[float, int]] = []
    following = start + min(_KILL_EVERY_S, 20 * chaos.minutes) / 2
    while time.monotonic() < end:
        now = time.monotonic()
        if switch is not None and now >= switch:
            switch = float("inf")
            chaos.registry.promote(chaos.model, 2, "champion")
            tell(f"version 2 is the champion: {_refresh(server.port)}")
        if now >= following and (alive := replicas(server)):
            following = now + _KILL_EVERY_S
            victim = alive[len(kills) % len(alive)]
            with tally.lock:
                kills.append((time.monotonic(), len(tally.asking)))
            os.kill(victim, signal.SIGKILL)
            tell(f"killed replica {victim} of {len(alive)}")
        time.sleep(0.2)
    return kills


def _refresh(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/refresh")
        return connection.getresponse().read().decode()[:200]


class _Client:
    """Asks one after the other, and checks the answers."""

    def __init__(self, chaos: Chaos, port: int, tally: _Tally, verb: str, number: int) -> None:
        self._chaos, self._tally, self._verb, self._number = chaos, tally, verb, number
        self._path = f"/v1/models/{chaos.model}/{verb}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask_until(self, over: threading.Event) -> None:
        place = self._number
        while not over.is_set():
            place = (place + 1) % len(self._chaos.files)
            started = time.monotonic()
            with self._tally.lock:
                self._tally.asking.add(self._number)
            try:
                status, answer = self._asked(self._chaos.files[place])
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._connection.close()
                status, answer = 0, {"detail": type(error).__name__}
            with self._tally.lock:
                self._tally.asking.discard(self._number)
                if status == 200:
                    self._check(answer, place)
                else:
                    why = f"{self._verb} {status} {answer.get('detail', '')}"
                    self._tally.failed.append((started, time.monotonic(), why))
        self._connection.close()

    def _asked(self, image: bytes) -> tuple[int, dict[str, Any]]:
        headers, body = post_body(image)
        self._connection.request("POST", self._path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def _check(self, answer: dict[str, Any], place: int) -> None:
        """Compare an answer with what the version that it names says of the image."""
        version = answer["model"]["version"]
        is_predict = self._verb == "predict"
        said = answer["predictions"][0] if is_predict else answer["prediction"]
        wanted, found = self._chaos.expected[version][place], said["probabilities"]
        tally = self._tally
        tally.answers[self._verb] = tally.answers.get(self._verb, 0) + 1
        tally.versions[version] = tally.versions.get(version, 0) + 1
        off = max(abs(found.get(name, 2.0) - wanted[name]) for name in wanted)
        if off > TOLERANCE:
            who = f"{self._verb} of file {place} by version {version}"
            tally.wrong.append(f"{who} is off by {off:.4f}")


def _rows(chaos: Chaos, tally: _Tally, kills: Sequence[tuple[float, int]]) -> list[Row]:
    answered = sum(tally.answers.values())
    if not answered:
        raise RunError("chaos", f"nothing was answered: {tally.failed[:3]}")
    in_flight = sum(asked for _, asked in kills)
    late = [why for begun, ended, why in tally.failed if not _spans(begun, ended, kills)]
    what = f"{chaos.minutes:g} minutes of mixed load, {len(kills)} replicas killed, one switch"
    told = ", ".join(f"{verb} {count}" for verb, count in sorted(tally.answers.items()))
    versions = ", ".join(f"version {key}: {n}" for key, n in sorted(tally.versions.items()))
    kinds = "; ".join(sorted({why for _, _, why in tally.failed}))
    return [
        Row(
            f"{what}: wrong answers",
            _count(len(tally.wrong)),
            "answers",
            0,
            note="; ".join([f"answered: {told}; {versions}", *tally.wrong[:3]]),
        ),
        Row(
            f"{what}: failed requests",
            _count(len(tally.failed)),
            "requests",
            in_flight,
            note=f"bar: requests in flight when replicas were killed; {kinds or 'none failed'}",
        ),
        Row(
            f"{what}: failed requests that were not in flight at a kill",
            _count(len(late)),
            "requests",
            0,
            note="; ".join(sorted(set(late))[:3]),
        ),
    ]


def _spans(begun: float, ended: float, kills: Sequence[tuple[float, int]]) -> bool:
    """Return whether a request was under way when a replica was killed."""
    return any(begun <= moment <= ended for moment, _ in kills)


def _count(number: int) -> Spread:
    return Spread(number, number, number, 1)
