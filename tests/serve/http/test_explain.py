"""Explanations by HTTP: maps, classes, the teacher, pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image

from kdray.images import decode, fit
from kdray.maps import heat_map_png, overlay
from kdray_serve.http.accept import accepted
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Explanation, Problem
from kdray_serve.work import Wish

CLASSES = ["glioma", "meningioma", "no tumor", "pituitary"]
PREDICT, EXPLAIN = "/v1/models/brain/predict", "/v1/models/brain/explain"


def refused(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return Problem.model_validate(answer.json(), strict=True).detail


def explained(client: TestClient, image: bytes, **fields: Any) -> Any:
    answer = client.post(EXPLAIN, files={"image": ("scan.png", image)}, data=fields)
    assert answer.status_code == 200, answer.text
    Explanation.model_validate(answer.json(), strict=True)
    return answer.json()


def test_an_explanation_is_of_the_predicted_class_by_the_first_method(
    client: TestClient, scan: bytes
) -> None:
    told = explained(client, scan)
    assert [one["class"] for one in told["maps"]] == ["meningioma"]
    assert told["prediction"]["prediction"] == "meningioma"
    assert (told["method"], told["requested_method"], told["replaced"]) == (
        "gradcam",
        "gradcam",
        "",
    )
    assert told["against"] is None
    assert told["forwards"] == 1
    assert told["maps"][0]["values"] is None


def test_a_heat_map_is_the_picture_of_the_map_at_the_size_of_the_input(
    client: TestClient, scan: bytes
) -> None:
    [one] = explained(client, scan)["maps"]
    map_ = fit(decode(scan), 16, 1)[:, :, 0].astype(np.float32) / 255
    assert base64.b64decode(one["heat_map"]["png"]) == heat_map_png(map_)
    assert (one["heat_map"]["width"], one["heat_map"]["height"]) == (16, 16)


def test_raw_maps_are_the_numbers_themselves(client: TestClient, scan: bytes) -> None:
    [one] = explained(client, scan, raw="true")["maps"]
    values = np.frombuffer(base64.b64decode(one["values"]["float32"]), "<f4")
    expected = fit(decode(scan), 16, 1)[:, :, 0].astype(np.float32) / 255
    np.testing.assert_array_equal(values.reshape(one["values"]["shape"]), expected)


def test_classes_may_be_named_and_a_map_that_shows_nothing_says_why(
    client: TestClient, scan: bytes
) -> None:
    told = explained(client, scan, **{"class": ["pituitary", "glioma"]})
    blank, shown = told["maps"]
    assert (blank["class"], blank["heat_map"], blank["reason"]) == (
        "pituitary",
        None,
        "the map is blank.",
    )
    assert (shown["class"], shown["reason"]) == ("glioma", "")


def test_all_classes_may_be_explained_at_once(client: TestClient, scan: bytes) -> None:
    assert [one["class"] for one in explained(client, scan, **{"class": "all"})["maps"]] == CLASSES


def test_an_approximate_map_has_its_estimate(client: TestClient, scan: bytes) -> None:
    assert explained(client, scan, method="fast")["maps"][0]["estimate"] == 0.97
    assert explained(client, scan)["maps"][0]["estimate"] is None


def test_a_replaced_method_is_said(client: TestClient, desk: Any, scan: bytes) -> None:
    told = explained(client, scan, deadline_ms="50", method="fast")
    assert told["requested_method"] == "fast"
    assert told["replaced"] == "The deadline is too short."
    assert desk.asked[-1][4] == Wish("fast", (), None, 50.0)


def test_the_teacher_stands_beside_the_student(client: TestClient, scan: bytes) -> None:
    told = explained(client, scan, against="teacher", **{"class": ["glioma", "pituitary"]})
    beside = told["against"]
    assert beside["model"] == {"name": "teacher.brain", "version": 1, "weights_sha256": "b" * 64}
    assert beside["role"] == "teacher"
    assert [one["class"] for one in beside["maps"]] == ["glioma", "pituitary"]
    assert beside["agreement"] == [{"pearson": 0.5, "ssim": 0.5, "iou20": 0.5}, None]
    assert beside["chance"] == {"pearson": 0.1}


def test_empty_fields_of_a_form_mean_no_choice(client: TestClient, desk: Any, scan: bytes) -> None:
    empty = {"method": "", "class": "", "against": "", "deadline_ms": "", "raw": ""}
    explained(client, scan, **empty)
    assert desk.asked[-1][4] == Wish()


def test_fields_may_stand_in_the_address_beside_a_file_alone(
    client: TestClient, desk: Any, scan: bytes
) -> None:
    answer = client.post(
        f"{EXPLAIN}?class=glioma&class=no%20tumor&method=fast",
        content=scan,
        headers={"Content-Type": "image/png"},
    )
    assert [one["class"] for one in answer.json()["maps"]] == ["glioma", "no tumor"]
    assert desk.asked[-1][4].method == "fast"


def test_a_field_in_body_and_address_is_refused(client: TestClient, scan: bytes) -> None:
    answer = client.post(f"{EXPLAIN}?method=fast", files={"image": scan}, data={"method": "fast"})
    assert "in the body and in the address" in refused(answer, 422)


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"method": "shap"}, 422, "gradcam, fast"),
        ({"class": "cat"}, 422, "glioma, meningioma, no tumor, pituitary"),
        ({"against": "liver"}, 404, "'liver'"),
        ({"deadline_ms": "NaN"}, 422, "milliseconds"),
        ({"raw": "maybe"}, 422, "true or false"),
        ({"clas": "glioma"}, 422, "no field 'clas'"),
        ({"method": ["fast", "gradcam"]}, 422, "given 2 times"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    client: TestClient, scan: bytes, fields: Any, status: int, said: str
) -> None:
    assert said in refused(client.post(EXPLAIN, files={"image": scan}, data=fields), status)


def test_one_image_is_explained_at_a_time(client: TestClient, scan: bytes) -> None:
    files = [("image", ("scan.png", scan))] * 2
    assert "2 images; one image" in refused(client.post(EXPLAIN, files=files), 422)


def test_a_picture_is_the_image_with_the_map_over_it(client: TestClient, scan: bytes) -> None:
    answer = client.post(
        EXPLAIN, files={"image": scan}, headers={"Accept": "image/png"}, data={"class": "no tumor"}
    )
    shown = fit(decode(scan), 16, 1)
    expected = overlay(shown, shown[:, :, 0].astype(np.float32) / 255)
    assert answer.headers["content-type"] == "image/png"
    assert (answer.headers["x-kdray-class"], answer.headers["x-kdray-method"]) == (
        "no tumor",
        "gradcam",
    )
    assert answer.headers["x-kdray-model"] == "brain@2"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)


@pytest.mark.parametrize(("classes", "said"), [("all", "one map"), ("pituitary", "blank")])
def test_no_picture_is_made_of_several_maps_or_of_a_blank_one(
    client: TestClient, scan: bytes, classes: str, said: str
) -> None:
    headers = {"Accept": "image/png"}
    answer = client.post(EXPLAIN, files={"image": scan}, data={"class": classes}, headers=headers)
    assert said in refused(answer, 422)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("text/html, image/png;q=0.9, */*;q=0.1", "image/png"),
        ("application/json;q=0.5, image/png;q=0.4", "application/json"),
        ("image/png;q=0, */*", "application/json"),
        ("APPLICATION/JSON; charset=utf-8", "application/json"),
        (",,", "application/json"),
    ],
)
def test_the_client_chooses_the_kind_of_answer(header: str, expected: str) -> None:
    assert accepted(header, ("application/json", "image/png")) == expected


@pytest.mark.parametrize("header", ["text/html", "image/png;q=0", "*/*;q=nan", "image/png;q=x"])
def test_a_kind_that_there_is_not_is_406(header: str) -> None:
    with pytest.raises(Refusal, match=r"application/json or image/png") as refusal:
        accepted(header, ("application/json", "image/png"))
    assert refusal.value.status == 406
