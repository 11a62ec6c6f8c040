"""The audit log of a running service."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdray.served import audit as log
from kdray.store import Store
from kdray_serve.meter import Answered
from kdray_serve.records import audit, background
from kdray_serve.records.audit import AuditLog, lines_of
from kdray_serve.refusal import Refusal
from kdray_serve.work import Caller, Explained, Mapped, Predicted, Upload

CLASSES = ("glioma", "pituitary")


def predicted(place: int = 1, ood_score: float | None = 0.995) -> Predicted:
    shares = np.array([0.25, 0.25], np.float32)
    shares[place] = 0.75
    return Predicted(shares, np.log(shares), True, (place,), ood_score, (4, 4), f"{place}" * 64)


def answered(*said: Predicted, explained: Explained | None = None) -> Answered:
    return Answered(
        caller=Caller("ward", frozenset({"predict"}), "r1"),
        key=("brain", 3),
        classes=CLASSES,
        weights_sha256="w" * 64,
        route="predict" if explained is None else "explain",
        images=tuple(Upload(b"pixels", "mrs-smith.png") for _ in said),
        predicted=said,
        explained=explained,
        seconds=0.01,
        is_canary=True,
        when=1_763_719_200.5,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_each_image_of_a_request_has_its_line() -> None:
    lines = list(lines_of(answered(predicted(0), predicted(1)), 0.99))
    assert [line["answer"]["class"] for line in lines] == ["glioma", "pituitary"]
    assert [line["image_sha256"] for line in lines] == ["0" * 64, "1" * 64]


def test_a_line_tells_who_when_which_version_and_what() -> None:
    [line] = lines_of(answered(predicted()), 0.99)
    assert line == {
        "when": "2025-11-21T10:00:00.500Z",
        "who": "ward",
        "request_id": "r1",
        "route": "predict",
        "model": "brain",
        "version": 3,
        "weights_sha256": "w" * 64,
        "canary": True,
        "image_sha256": "1" * 64,
        "answer": {
            "class": "pituitary",
            "probability": 0.75,
            "set": ["pituitary"],
            "ood_score": 0.995,
            "ood": True,
        },
    }


def test_neither_pixels_nor_file_names_are_in_a_line() -> None:
    [line] = lines_of(answered(predicted()), 0.99)
    assert "smith" not in json.dumps(line)
    assert "pixels" not in json.dumps(line)


def test_what_the_package_cannot_tell_is_null() -> None:
    [line] = lines_of(answered(predicted(ood_score=None)), 0.99)
    assert line["answer"]["ood"] is None


def test_an_explanation_names_its_method_and_classes() -> None:
    maps = np.zeros((1, 2, 2), np.float32)
    mapped = Mapped("gradcam", (0,), maps, {}, None, 1.0, 1)
    explained = Explained(predicted(), mapped, np.zeros((2, 2, 1), np.uint8))
    [line] = lines_of(answered(predicted(), explained=explained), 0.99)
    assert (line["answer"]["method"], line["answer"]["explained"]) == ("gradcam", ["glioma"])
    assert line["answer"]["against"] is None


def test_a_closed_log_verifies(store: Store) -> None:
    written = AuditLog(store, "mri")
    for number in range(50):
        written.note({"when": "2026", "number": number})
    written.close()
    [chain] = log.verify(store, "mri")
    assert (chain.problems, chain.is_closed, chain.lines) == ((), True, 52)
    assert [line["number"] for line in log.answers(store, "mri")] == list(range(50))


def test_the_log_of_a_running_service_is_open_and_without_problems(store: Store) -> None:
    written = AuditLog(store, "mri")
    [chain] = log.verify(store, "mri")
    assert (chain.problems, chain.is_closed, chain.lines) == ((), False, 1)
    written.close()


def test_two_processes_write_two_logs(store: Store) -> None:
    for _ in range(2):
        AuditLog(store, "mri").close()
    assert [chain.problems for chain in log.verify(store, "mri")] == [(), ()]


def test_each_day_has_its_file_and_the_chain_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = iter(["2026-11-21", *["2026-11-22"] * 9])
    monkeypatch.setattr(audit, "now", lambda: f"{next(day)}T10:00:00Z")
    chain = audit._Chain(store, "mri")
    chain.write([{"event": log.OPENED}])
    chain.write([{"when": "b"}, {"when": "c"}])
    chain.close()
    names = store.list(log.folder("mri"))
    assert [name[:10] for name in names] == ["2026-11-21", "2026-11-22"]
    [found] = log.verify(store, "mri")
    assert (found.problems, found.lines) == ((), 3)


def test_a_full_disk_tears_no_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = audit._Chain(store, "mri")
    chain.write([{"event": log.OPENED}])
    really = os.write
    calls = iter([lambda d, data: really(d, data[:7]), _full])
    monkeypatch.setattr(os, "write", lambda d, data: next(calls)(d, data))
    with pytest.raises(OSError, match="No space"):
        chain.write([{"when": "lost"}])
    monkeypatch.setattr(os, "write", really)
    chain.write([{"when": "kept"}])
    chain.close()
    [found] = log.verify(store, "mri")
    assert found.problems == ()
    assert [line["when"] for line in log.answers(store, "mri")] == ["kept"]


def _full(_descriptor: int, _data: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_answer_that_cannot_be_written_down_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background.Background, "put", lambda *_: False)
    written = AuditLog(store, "mri")
    with pytest.raises(Refusal, match="so none are given") as refused:
        written.note({"when": "2026"})
    assert refused.value.status == 503
    written.close()


def test_the_log_is_not_for_everybody_on_the_machine(store: Store) -> None:
    AuditLog(store, "mri").close()
    [name] = store.list(log.folder("mri"))
    assert os.stat(store.path(f"{log.folder('mri')}/{name}")).st_mode & 0o007 == 0


class Remote:
    """A storage of objects, which do not grow."""

    is_local = False

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def write(self, name: str, data: bytes) -> None:
        assert name not in self.objects
        self.objects[name] = data

    def read(self, name: str) -> bytes | None:
        return self.objects.get(name)

    def list(self, name: str) -> list[str]:
        return sorted(path.rpartition("/")[2] for path in self.objects if path.startswith(name))


@pytest.fixture
def remote() -> Any:
    return Remote()


def test_objects_follow_one_another_and_make_one_chain(remote: Any) -> None:
    chain = audit._Chain(remote, "mri")
    for entry in ({"event": log.OPENED}, {"when": "a"}, {"event": log.CLOSED}):
        chain.write([entry])
    assert len(remote.objects) == 3
    [found] = log.verify(remote, "mri")
    assert (found.problems, found.is_closed, found.lines) == ((), True, 3)


def test_lines_for_objects_are_collected_until_the_log_is_closed(remote: Any) -> None:
    written = AuditLog(remote, "mri")
    for number in range(5):
        written.note({"when": str(number)})
    written.close()
    assert len(remote.objects) == 2
    assert len(log.answers(remote, "mri")) == 5


def test_a_log_on_s3_verifies(s3: str, tmp_path: Path) -> None:
    store = Store(s3, cache=str(tmp_path))
    written = AuditLog(store, "mri")
    for number in range(3):
        written.note({"when": "2026", "number": number})
    written.close()
    [chain] = log.verify(store, "mri")
    assert (chain.problems, chain.is_closed, chain.lines) == ((), True, 5)
    assert [line["number"] for line in log.answers(store, "mri")] == [0, 1, 2]


def test_the_last_line_is_forced_onto_the_disk_though_none_follows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced = threading.Semaphore(0)
    sizes: list[int] = []

    def fsync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        forced.release()

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(background, "_IDLE_S", 0.05)
    written = AuditLog(store, "mri")
    for _ in range(3):
        written.note({"model": "brain"})
    [file] = store.list(log.folder("mri"))
    path = Path(store.path(f"{log.folder('mri')}/{file}"))
    while not sizes or sizes[-1] < path.stat().st_size or written.waiting:
        assert forced.acquire(timeout=20)
    written.close()
    assert sizes[-1] == path.stat().st_size
