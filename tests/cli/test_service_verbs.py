"""`kdray audit` and `kdray feedback`: what a service has left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.served import audit, feedback
from kdray.served.feedback import Feedback
from kdray.store import Store

Kdray = Callable[..., Any]
CHAIN = "host-7-0123abcd"
SPEC = """\
apiVersion: kdray/v1
kind: Service
name: mri
models: [brain]
storage: lab
"""


def answer(request: str, says: str) -> dict[str, Any]:
    return {
        "when": f"2026-11-21T10:00:0{request[-1]}.000Z",
        "who": "ward",
        "request_id": request,
        "route": "predict",
        "model": "brain",
        "version": 3,
        "weights_sha256": "w",
        "image_sha256": "0123456789abcdef",
        "answer": {"class": says, "probability": 0.9},
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a storage `lab` in which the service `mri` has left three answers."""
    store = Store(str(tmp_path / "lab"))
    facts = [{"event": "opened"}, answer("r1", "glioma"), answer("r2", "glioma")]
    lines, before = [], ""
    for fact in [*facts, answer("r3", "pituitary")]:
        line, before = audit.seal(fact, before)
        lines.append(line)
    name = audit.file_name("2026-11-21", CHAIN, 1)
    store.write(f"{audit.folder('mri')}/{name}", b"".join(lines))
    return store


def said(request: str, label: str) -> Feedback:
    when = "2026-11-21T11:00:00.000Z"
    return Feedback(request, when, "ward", request, "", label, "", 0, "", False, "")


def test_audit_lists_who_was_answered_what(kdray: Kdray, store: Store) -> None:
    done = kdray("audit", "mri", "--storage", store.uri, "--json")
    assert [line["answer"]["class"] for line in json.loads(done.out)] == [
        "glioma",
        "glioma",
        "pituitary",
    ]


def test_audit_shows_the_latest_and_says_how_many_there_are(kdray: Kdray, store: Store) -> None:
    done = kdray("audit", "mri", "--storage", "lab", "--last", "1")
    assert "pituitary" in done.out
    assert "glioma" not in done.out
    assert "latest 1 of 3" in done.out


def test_audit_finds_the_answers_of_a_request(kdray: Kdray, store: Store) -> None:
    done = kdray("audit", "mri", "--storage", "lab", "--request", "r2", "--json")
    assert [line["request_id"] for line in json.loads(done.out)] == ["r2"]


def test_a_whole_log_passes_its_verification(kdray: Kdray, store: Store) -> None:
    done = kdray("audit", "mri", "--storage", "lab", "--verify")
    assert done.code == 0
    assert "as they were written" in done.out


def test_a_changed_line_fails_the_verification(kdray: Kdray, store: Store) -> None:
    name = f"{audit.folder('mri')}/{audit.file_name('2026-11-21', CHAIN, 1)}"
    content = store.read(name)
    assert content is not None
    store.write(name, content.replace(b'"class":"glioma"', b'"class":"no tumor"', 1))
    done = kdray("audit", "mri", "--storage", "lab", "--verify")
    assert done.code == 1
    assert "changed" in done.err


def test_a_noted_hash_that_is_gone_fails_the_verification(kdray: Kdray, store: Store) -> None:
    done = kdray("audit", "mri", "--storage", "lab", "--verify", "--json")
    head = json.loads(done.out)["chains"][0]["head"]
    assert kdray("audit", "mri", "--storage", "lab", "--verify", "--head", head).code == 0
    gone = kdray("audit", "mri", "--storage", "lab", "--verify", "--head", "f" * 64)
    assert gone.code == 1
    assert "not in the log any more" in gone.err


def test_feedback_is_shown_beside_the_answers(kdray: Kdray, store: Store) -> None:
    rows = [said("r1", "glioma"), said("r2", "no tumor"), said("r9", "glioma")]
    feedback.write(store, "mri", rows)
    found = json.loads(kdray("feedback", "mri", "--storage", "lab", "--json").out)
    assert [row["right"] for row in found["feedback"]] == [True, False, None]
    [version] = found["versions"]
    assert (version["model"], version["accuracy"], version["total"]) == ("brain@3", 0.5, 2)


def test_feedback_as_a_table_names_the_interval(kdray: Kdray, store: Store) -> None:
    feedback.write(store, "mri", [said("r1", "glioma")])
    done = kdray("feedback", "mri", "--storage", "lab")
    assert "95 % interval" in done.out
    assert "brain@3" in done.out


def test_a_service_nobody_judged_is_told(kdray: Kdray, store: Store) -> None:
    assert "Nobody has sent feedback" in kdray("feedback", "mri", "--storage", "lab").out


def test_the_job_file_names_service_and_storage(
    kdray: Kdray, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "serve.yaml").write_text(SPEC)
    assert kdray("audit", "serve.yaml").code == 0


@pytest.mark.parametrize("name", ["other", "../mri", ""])
def test_a_service_that_left_nothing_is_refused(kdray: Kdray, store: Store, name: str) -> None:
    done = kdray("audit", name, "--storage", "lab")
    assert done.code == 2
    assert "mri" in done.err


def test_an_experiment_is_no_service(kdray: Kdray, spec: Path) -> None:
    done = kdray("feedback", str(spec))
    assert done.code == 2
    assert "not a Service" in done.err
