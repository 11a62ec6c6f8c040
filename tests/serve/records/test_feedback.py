"""What a process remembers of its answers, and how it takes feedback on them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from kdray.served import feedback
from kdray.store import Store
from kdray_serve.meter import Answered
from kdray_serve.records import background
from kdray_serve.records.feedback import FeedbackLog, Given, Recent, Said, checked
from kdray_serve.refusal import Refusal
from kdray_serve.work import Caller, Predicted

CLASSES = ("glioma", "pituitary")
CALLER = Caller("ward", frozenset({"predict"}), "r9")


def sha(image: str) -> str:
    return hashlib.sha256(image.encode()).hexdigest()


def answered(request_id: str, *images: str) -> Answered:
    shares = np.array([0.25, 0.75], np.float32)
    said = [Predicted(shares, shares, True, None, None, (4, 4), sha(image)) for image in images]
    return Answered(
        caller=Caller("ward", frozenset(), request_id),
        key=("brain", 3),
        classes=CLASSES,
        weights_sha256="",
        route="predict",
        images=(),
        predicted=tuple(said),
        explained=None,
        seconds=0.0,
        is_canary=False,
        when=0.0,
    )


def test_the_oldest_answers_are_forgotten_first() -> None:
    recent = Recent(most=2)
    for name in ("r1", "r2", "r3"):
        recent.note(answered(name, "a"))
    assert recent.get("r1") is None
    assert recent.get("r3") == Said(("brain", 3), CLASSES, {sha("a"): "pituitary"})


def test_an_answer_repeated_is_young_again() -> None:
    recent = Recent(most=2)
    for name in ("r1", "r2", "r1", "r3"):
        recent.note(answered(name, "a"))
    assert recent.get("r1") is not None
    assert recent.get("r2") is None


def test_feedback_on_the_only_image_needs_not_name_it() -> None:
    said = Said(("brain", 3), CLASSES, {sha("a"): "pituitary"})
    row = checked(Given("r1", "glioma"), CALLER, said)
    assert (row.image_sha256, row.predicted, row.known) == (sha("a"), "pituitary", True)


def test_feedback_on_one_of_several_images_must_name_it() -> None:
    said = Said(("brain", 3), CLASSES, {sha("a"): "pituitary", sha("b"): "glioma"})
    with pytest.raises(Refusal, match="2 images"):
        checked(Given("r1", "glioma"), CALLER, said)
    assert checked(Given("r1", "glioma", "", sha("b")), CALLER, said).predicted == "glioma"


def test_many_small_files_are_merged_by_the_service(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    row = checked(Given("r1", "glioma"), CALLER, None)
    for _ in range(feedback.MERGE_FROM):
        feedback.write(store, "mri", [row])
    written = FeedbackLog(store, "mri")
    written.add(checked(Given("r2", "glioma"), CALLER, None))
    written.close()
    assert len(store.list(feedback.folder("mri"))) == 1
    assert [row.request_id for row in feedback.read(store, "mri")] == ["r1", "r2"]


def test_feedback_that_cannot_be_written_down_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = FeedbackLog(Store(str(tmp_path)), "mri")
    monkeypatch.setattr(background.Background, "put", lambda *_: False)
    with pytest.raises(Refusal) as refused:
        written.add(checked(Given("r1", "glioma"), CALLER, None))
    assert refused.value.status == 503
    written.close()
