"""`POST /v1/feedback`: from an answer to a row in Parquet."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from kdray.served import audit, feedback
from kdray.store import Store

PREDICT = "/v1/models/brain/predict"


def predict(served: Any, *images: bytes, request_id: str = "r1") -> None:
    files = [("image", ("scan.png", image)) for image in images]
    answer = served.post(PREDICT, files=files, headers={"X-Request-ID": request_id})
    assert answer.status_code == 200, answer.text


def say(served: Any, **label: Any) -> Any:
    return served.post("/v1/feedback", json={"request_id": "r1", "label": "glioma", **label})


def rows(served: Any) -> list[feedback.Feedback]:
    served.observed.close()
    return feedback.read(Store(str(served.storage)), "mri")


def test_feedback_is_stored_beside_the_answer_it_is_about(served: Any) -> None:
    predict(served, b"xx")
    answer = say(served, comment="clear")
    assert (answer.status_code, answer.json()) == (202, {"status": "noted", "known": True})
    [row] = rows(served)
    assert (row.model, row.version, row.predicted) == ("brain", 3, "pituitary")
    assert (row.label, row.who, row.comment, row.known) == ("glioma", "anybody", "clear", True)
    assert row.image_sha256 == hashlib.sha256(b"xx").hexdigest()


def test_a_label_that_is_no_class_is_refused(served: Any) -> None:
    predict(served, b"x")
    answer = say(served, label="stroke")
    assert answer.status_code == 422
    assert "glioma, no tumor, pituitary" in answer.json()["detail"]
    assert rows(served) == []


def test_a_label_is_checked_by_the_named_model_where_the_answer_is_forgotten(served: Any) -> None:
    assert say(served, model="brain@3", label="stroke").status_code == 422
    assert say(served, model="brain@3").json()["known"] is True
    [row] = rows(served)
    assert (row.model, row.version, row.predicted) == ("brain", 3, "")


@pytest.mark.parametrize("model", [None, "gone@1"])
def test_feedback_on_an_unknown_answer_is_kept_as_such(served: Any, model: str | None) -> None:
    assert say(served, model=model, label="stroke").json()["known"] is False
    [row] = rows(served)
    assert (row.known, row.label, row.model) == (False, "stroke", "")


def test_an_answer_of_another_model_is_told(served: Any) -> None:
    predict(served, b"x")
    answer = say(served, model="brain@2")
    assert answer.status_code == 422
    assert "brain@3" in answer.json()["detail"]


def test_of_several_images_one_must_be_named(served: Any) -> None:
    predict(served, b"x", b"xx")
    assert "2 images" in say(served).json()["detail"]
    named = hashlib.sha256(b"xx").hexdigest()
    assert say(served, image_sha256=named).status_code == 202
    [row] = rows(served)
    assert row.predicted == "pituitary"


@pytest.mark.parametrize(
    "label",
    [
        {"request_id": "a b"},
        {"request_id": ""},
        {"label": ""},
        {"label": "x" * 201},
        {"comment": "x" * 2001},
        {"image_sha256": "../x"},
        {"label": 3},
        {"remark": "x"},
    ],
)
def test_what_is_no_feedback_is_refused(served: Any, label: dict[str, Any]) -> None:
    assert say(served, **label).status_code == 422


def test_halves_of_characters_do_not_stop_the_writer(served: Any) -> None:
    body = b'{"request_id": "r1", "label": "\\ud800", "comment": "\\udfff"}'
    answer = served.post(
        "/v1/feedback", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (202, 422)
    say(served)
    assert "glioma" in [row.label for row in rows(served)]


def test_feedback_is_counted(served: Any) -> None:
    predict(served, b"xx")
    say(served)
    say(served, label="pituitary")
    text = served.get("/metrics").text
    assert 'kdray_feedback_total{model="brain@3",verdict="wrong"} 1.0' in text
    assert 'kdray_feedback_total{model="brain@3",verdict="right"} 1.0' in text


def test_answers_are_in_the_audit_log_without_file_names(served: Any) -> None:
    predict(served, b"xx", request_id="r9")
    served.observed.close()
    store = Store(str(served.storage))
    [line] = audit.answers(store, "mri")
    assert (line["who"], line["request_id"], line["model"]) == ("anybody", "r9", "brain")
    assert line["image_sha256"] == hashlib.sha256(b"xx").hexdigest()
    assert (line["answer"]["class"], line["answer"]["probability"]) == ("pituitary", 0.75)
    assert line["answer"]["set"] == ["pituitary"]
    assert line["answer"]["ood"] is False
    assert "scan.png" not in str(line)
    [chain] = audit.verify(store, "mri")
    assert (chain.problems, chain.is_closed) == ((), True)


def test_an_explanation_is_in_the_audit_log_with_its_method(served: Any) -> None:
    served.post(
        "/v1/models/brain/explain", files={"image": ("scan.png", b"xx")}, data={"class": "glioma"}
    )
    served.observed.close()
    [line] = audit.answers(Store(str(served.storage)), "mri")
    assert line["route"] == "explain"
    assert (line["answer"]["method"], line["answer"]["explained"]) == ("gradcam", ["glioma"])
