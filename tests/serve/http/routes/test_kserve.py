"""Version 1 of KServe's protocol."""

from __future__ import annotations

import base64
import tracemalloc
from typing import Any

import numpy as np
import pytest

from kdray_serve.http.tensors import pixels_of
from kdray_serve.refusal import Refusal

PREDICT, EXPLAIN = "/v1/models/brain:predict", "/v1/models/brain:explain"


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def test_instances_are_image_files_in_base64(served: Any) -> None:
    answer = served.post(PREDICT, json={"instances": [b64(b"x"), {"image": b64(b"xx")}]})
    assert answer.status_code == 200
    assert [one["prediction"] for one in answer.json()["predictions"]] == ["no tumor", "pituitary"]
    assert (answer.json()["model_name"], answer.json()["model_version"]) == ("brain", "3")


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([[[1], [2]], [[3], [4]]], [[1, 2], [3, 4]]),
        ([[[1, 2, 3]], [[4, 5, 6]]], [[[1, 2, 3]], [[4, 5, 6]]]),
    ],
)
def test_instances_are_values_of_pixels(served: Any, instance: Any, expected: Any) -> None:
    assert served.post(PREDICT, json={"instances": [instance]}).status_code == 200
    [(_, [image])] = served.desk.asked
    np.testing.assert_array_equal(image, expected)


def test_predictions_are_as_in_our_own_api(served: Any) -> None:
    [one] = served.post(PREDICT, json={"instances": [b64(b"x")]}).json()["predictions"]
    assert one["probabilities"] == {"glioma": 0.125, "no tumor": 0.75, "pituitary": 0.125}
    assert one["prediction_set"] == {"coverage": 0.9, "classes": ["no tumor"]}


def test_explanations_have_the_values_of_their_maps(served: Any) -> None:
    wish = {"method": "scorecam_fast", "class": "glioma", "against": "teacher"}
    answer = served.post(EXPLAIN, json={"instances": [b64(b"x")], "parameters": wish})
    [one] = answer.json()["explanations"]
    assert one["method"] == "scorecam_fast"
    [found] = one["maps"]
    values = np.frombuffer(base64.b64decode(found["values"]["float32"]), "<f4")
    assert (found["class"], values.argmax(), values.sum()) == ("glioma", 0, 1)
    assert one["against"]["agreement"][0]["pearson"] == 0.5


def test_all_instances_are_explained_by_one_version(served: Any) -> None:
    served.post(EXPLAIN, json={"instances": [b64(b"x"), b64(b"xx")]})
    assert [name for name, _ in served.desk.asked] == ["brain", "brain@3"]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "needs a list"),
        ({"instances": []}, "needs a list"),
        ({"instances": {"b64": "eA=="}}, "needs a list"),
        ([], "must be a JSON object"),
        ({"instances": [{"text": "x"}]}, "must be text"),
        ({"instances": [{"b64": "?"}]}, "base64"),
        ({"instances": [{"b64": 7}]}, "must be text"),
        ({"instances": [[1, 2, 3]]}, "the shape [3]"),
        ({"instances": [[[[1, 2]]]]}, "the shape [1, 1, 2]"),
        ({"instances": [[]]}, "whole numbers"),
        ({"instances": ["x"]}, "whole numbers"),
        ({"instances": [[[300]]]}, "whole numbers"),
        ({"instances": [[[True, 1]]]}, "whole numbers"),
        ({"instances": [[[1.0]]]}, "whole numbers"),
        ({"instances": [[[1, 2], [3]]]}, "equal lengths"),
        ({"instances": [[[9**40, -1]]]}, "whole numbers"),
        ({"instances": [[[1]]], "parameters": 3}, "`parameters`"),
        ({"instances": [[[1]]] * 17}, "at most 16"),
        ({"instances": [b64(b"broken")]}, "no image"),
    ],
)
@pytest.mark.parametrize("path", [PREDICT, EXPLAIN])
def test_what_is_no_instance_is_told(served: Any, path: str, request_: Any, said: str) -> None:
    answer = served.post(path, json=request_)
    assert answer.status_code in (400, 415, 422), answer.text
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


def test_texts_among_the_values_take_no_room() -> None:
    values = ["x" * 100_000, *[""] * 10_000]
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match="whole numbers"):
            pixels_of([values], "Instance 1")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2**20


def test_a_compressed_body_is_refused(served: Any) -> None:
    answer = served.post(PREDICT, content=b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, list(answer.json())) == (415, ["error"])


def test_an_unknown_model_is_told(served: Any) -> None:
    answer = served.post("/v1/models/liver:predict", json={"instances": [b64(b"x")]})
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_our_own_description_of_a_model_stays(served: Any) -> None:
    assert served.get("/v1/models/brain").json()["classes"][0] == "glioma"
