"""The format of the audit log, and what its verification finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from kdray.served import audit
from kdray.store import Store

NAME = audit.file_name("2026-11-21", "host-7-0123abcd", 1)


def chain(*facts: dict[str, object], before: str = "") -> tuple[list[bytes], str]:
    lines = []
    for fact in facts:
        line, before = audit.seal(fact, before)
        lines.append(line)
    return lines, before


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def put(store: Store, lines: list[bytes], name: str = NAME) -> None:
    store.write(f"{audit.folder('mri')}/{name}", b"".join(lines))


ANSWERS = ({"when": "2026-11-21T10:00:00Z", "model": "a"}, {"when": "2026-11-21T10:00:01Z"})


def whole() -> list[bytes]:
    return chain({"event": "opened"}, *ANSWERS, {"event": "closed"})[0]


def test_a_line_holds_the_hash_of_the_line_before_it() -> None:
    first, second, *_ = whole()
    assert json.loads(second)["before"] == hashlib.sha256(first[:-1]).hexdigest()


def test_a_whole_log_has_no_problems_and_is_closed(store: Store) -> None:
    put(store, whole())
    [found] = audit.verify(store, "mri")
    assert (found.problems, found.is_closed, found.lines) == ((), True, 4)
    assert found.name == "host-7-0123abcd"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda lines: [lines[0], lines[1].replace(b'"a"', b'"b"'), *lines[2:]], "changed"),
        (lambda lines: [lines[0], *lines[2:]], "removed"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "inserted"),
        (lambda lines: lines[1:], "beginning"),
        (lambda lines: [*lines[:-1], lines[-1][:9]], "cut off"),
    ],
)
def test_changed_removed_inserted_and_torn_lines_are_found(
    store: Store, spoil: object, said: str
) -> None:
    put(store, spoil(whole()))  # type: ignore[operator]
    [found] = audit.verify(store, "mri")
    assert any(said in problem for problem in found.problems), found.problems


def test_a_log_without_its_last_line_is_not_closed(store: Store) -> None:
    put(store, whole()[:-1])
    [found] = audit.verify(store, "mri")
    assert (found.problems, found.is_closed) == ((), False)


def test_a_chain_goes_on_in_the_next_file(store: Store) -> None:
    first, head = chain({"event": "opened"}, ANSWERS[0])
    second, _ = chain(ANSWERS[1], {"event": "closed"}, before=head)
    put(store, first)
    put(store, second, audit.file_name("2026-11-22", "host-7-0123abcd", 2))
    [found] = audit.verify(store, "mri")
    assert (found.problems, found.lines) == ((), 4)


def test_a_missing_file_of_a_chain_is_found(store: Store) -> None:
    first, head = chain({"event": "opened"})
    put(store, first)
    put(
        store,
        chain(ANSWERS[0], before=head)[0],
        audit.file_name("2026-11-22", "host-7-0123abcd", 3),
    )
    [found] = audit.verify(store, "mri")
    assert "1 files before it are missing" in found.problems[0]


def test_the_head_proves_the_lines_before_it(store: Store) -> None:
    put(store, whole())
    [found] = audit.verify(store, "mri")
    assert found.head == hashlib.sha256(whole()[-1][:-1]).hexdigest()
    assert found.head in found.hashes


def test_answers_of_all_processes_are_listed_by_time(store: Store) -> None:
    put(store, chain({"event": "opened"}, ANSWERS[1])[0])
    put(
        store,
        chain({"event": "opened"}, ANSWERS[0])[0],
        audit.file_name("2026-11-21", "other-host-8-89abcdef", 1),
    )
    assert [line["when"] for line in audit.answers(store, "mri")] == [
        fact["when"] for fact in ANSWERS
    ]


def test_a_service_without_a_log_has_no_answers(store: Store) -> None:
    assert audit.answers(store, "mri") == []
    assert audit.verify(store, "mri") == []
