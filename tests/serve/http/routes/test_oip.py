"""The Open Inference Protocol: Triton's client library, and plain JSON."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

INFER = "/v2/models/brain/infer"
FILES = [b"x", b"xx"]  # classes 1 and 2


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def files(contents: list[bytes] = FILES, *, binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(contents)], "BYTES")
    if not binary:
        contents = [base64.b64encode(content) for content in contents]
    tensor.set_data_from_numpy(np.array(contents, dtype=object), binary_data=binary)
    return tensor


def inputs(contents: list[bytes] = FILES) -> list[dict[str, Any]]:
    data = [base64.b64encode(content).decode() for content in contents]
    return [{"name": "image", "datatype": "BYTES", "shape": [len(contents)], "data": data}]


def values(answer: Any, name: str) -> list[Any]:
    [output] = [output for output in answer.json()["outputs"] if output["name"] == name]
    return output["data"]


def test_the_client_finds_server_and_models_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("brain")
    assert client.is_model_ready("brain", "3")
    assert not client.is_model_ready("liver")


def test_the_server_lists_its_extensions(client: Any) -> None:
    assert client.get_server_metadata()["extensions"] == [
        "binary_tensor_data",
        "kdray_explain_parameters",
        "kdray_explain",
    ]


def test_the_metadata_name_the_tensors(client: Any) -> None:
    found = client.get_model_metadata("brain", "3")
    assert found["versions"] == ["3"]
    assert [(one["name"], one["shape"]) for one in found["inputs"]] == [
        ("image", [-1]),
        ("pixels", [-1, -1, -1, 1]),
    ]
    assert [one["name"] for one in found["outputs"]] == [
        "probabilities",
        "label",
        "prediction_set",
        "ood_score",
    ]


@pytest.mark.parametrize("binary", [True, False])
def test_the_client_infers_from_image_files(client: Any, binary: bool) -> None:
    names = ("probabilities", "label", "prediction_set", "ood_score")
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    found = client.infer("brain", [files(binary=binary)], outputs=wanted, request_id="mine")
    assert found.get_response()["id"] == "mine"
    assert found.get_response()["model_version"] == "3"
    np.testing.assert_array_equal(
        found.as_numpy("probabilities"),
        np.array([[0.125, 0.75, 0.125], [0.125, 0.125, 0.75]], np.float32),
    )
    labels = [word.decode() if binary else word for word in found.as_numpy("label")]
    assert labels == ["no tumor", "pituitary"]
    np.testing.assert_array_equal(
        found.as_numpy("prediction_set"), [[False, True, False], [False, False, True]]
    )
    np.testing.assert_array_equal(found.as_numpy("ood_score"), np.float32([0.5, 0.5]))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_client_infers_from_pixels(
    client: Any, served: Any, binary: bool, channels: int
) -> None:
    pixels = np.arange(2 * 3 * 2 * channels, dtype=np.uint8).reshape(2, 3, 2, channels)
    tensor = triton.InferInput("pixels", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    client.infer("brain", [tensor])
    [(_, images)] = served.desk.asked
    expected = pixels[..., 0] if channels == 1 else pixels
    np.testing.assert_array_equal(np.stack(images), expected)


def test_all_outputs_come_where_none_is_named(client: Any) -> None:
    found = client.infer("brain", [files()])
    assert [output["name"] for output in found.get_response()["outputs"]] == [
        "probabilities",
        "label",
        "prediction_set",
        "ood_score",
    ]


def test_parameters_of_an_inference_ask_for_maps(client: Any, served: Any) -> None:
    parameters = {
        "explain": "gradcam",
        "class": "pituitary",
        "against": "teacher",
        "deadline_ms": 250,
    }
    found = client.infer("brain", [files()], parameters=parameters)
    maps = found.as_numpy("heatmap")
    assert maps.shape == (2, 1, 4, 4)
    assert maps[0, 0, 2, 2] == 1
    assert maps.sum() == 2
    assert found.as_numpy("heatmap_label").tolist() == [[b"pituitary"], [b"pituitary"]]
    np.testing.assert_array_equal(
        found.as_numpy("agreement"), np.float32([[[0.5, 0.25, 0.125]]] * 2)
    )
    said = found.get_response()["parameters"]
    assert (said["explain"], said["against"]) == ("gradcam", "teacher@2")
    assert said["chance_pearson"] == pytest.approx(0.1)
    [(_, wish), _] = served.desk.asked
    assert (wish.classes, wish.against, wish.deadline_ms) == (("pituitary",), "teacher", 250.0)


def test_maps_of_all_classes_are_nan_where_one_shows_nothing(client: Any) -> None:
    found = client.infer("brain", [files()], parameters={"explain": "gradcam", "class": "all"})
    maps = found.as_numpy("heatmap")
    assert maps.shape == (2, 3, 4, 4)
    assert np.isnan(maps[:, 1]).all()
    assert np.isfinite(maps[:, [0, 2]]).all()
    assert found.get_response()["parameters"]["blank"] == "blank by nature"


def test_an_approximate_map_comes_with_its_estimate(client: Any) -> None:
    found = client.infer("brain", [files()], parameters={"explain": "scorecam_fast"})
    np.testing.assert_allclose(found.as_numpy("estimate"), [[0.97], [0.97]], rtol=1e-6)


def test_all_images_of_a_request_are_explained_by_one_version(client: Any, served: Any) -> None:
    client.infer("brain", [files()], parameters={"explain": "gradcam"})
    assert [name for name, _ in served.desk.asked] == ["brain", "brain@3"]


def test_the_extension_explains_by_the_default_method(served: Any) -> None:
    answer = served.post("/v2/models/brain/explain", json={"inputs": inputs([b""])})
    assert answer.status_code == 200
    assert answer.json()["parameters"]["explain"] == "gradcam"
    assert values(answer, "heatmap_label") == ["glioma"]


def test_json_has_null_where_a_map_shows_nothing(served: Any) -> None:
    answer = served.post("/v2/models/brain/explain", json={"inputs": inputs([b"x"])})
    assert values(answer, "heatmap") == [None] * 16


def test_the_answer_names_the_request_it_belongs_to(served: Any) -> None:
    answer = served.post(INFER, json={"inputs": inputs()}, headers={"X-Request-ID": "r7"})
    assert answer.json()["parameters"]["request_id"] == "r7"
    assert answer.json()["id"] == "r7"
    assert answer.headers["X-Request-ID"] == "r7"


def test_outputs_that_the_package_cannot_tell_are_absent(served: Any) -> None:
    served.desk.can_tell = False
    answer = served.post(INFER, json={"inputs": inputs()})
    assert [output["name"] for output in answer.json()["outputs"]] == ["probabilities", "label"]


def test_a_version_is_asked_for_in_the_address(served: Any) -> None:
    path = "/v2/models/brain/versions/champion/infer"
    assert served.post(path, json={"inputs": inputs()}).status_code == 200
    assert served.desk.asked[0][0] == "brain@champion"


def test_a_server_that_is_not_ready_says_so(served: Any) -> None:
    served.desk.is_ready = False
    answer = served.get("/v2/health/ready")
    assert (answer.status_code, list(answer.json())) == (503, ["error"])


def test_the_client_reads_why_a_request_was_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="There is no model 'liver'"):
        client.infer("liver", [files()])


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**inputs([b"x"])[0], **changes}]}


def pixels(**changes: Any) -> dict[str, Any]:
    given = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 1], "data": [1, 2, 3, 4]}
    return {"inputs": [{**given, **changes}]}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ([], "must be a JSON object"),
        ({"inputs": []}, "one input"),
        ({"inputs": inputs() * 2}, "one input"),
        ({"inputs": ["image"]}, "An input must be a JSON object"),
        (tensor(name="x"), "no input 'x'"),
        (tensor(datatype="FP32"), "of FP32"),
        (tensor(shape=[2]), "but 1 elements"),
        (tensor(shape=[0]), "above 0"),
        (tensor(shape="1"), "above 0"),
        (tensor(shape=[1, 2]), r"the shape [B]"),
        (tensor(data="eA=="), "must be a list"),
        (tensor(data=[7]), "must be text"),
        (tensor(data=["?"]), "base64"),
        (tensor(parameters={"binary_data_size": 1}), "Inference-Header-Content-Length"),
        (tensor(parameters=[]), "`parameters` must be"),
        (pixels(shape=[2, 2]), "[B, H, W, c]"),
        (pixels(shape=[1, 2, 2, 2]), "1 (grey) or 3"),
        (pixels(data=[1, 2, 3]), "but 3 values"),
        (pixels(data=[1, 2, 3, 256]), "0 to 255"),
        (pixels(data=[1, 2, 3, -1]), "0 to 255"),
        (pixels(data=[1, 2, 3, 0.5]), "0 to 255"),
        (pixels(data=[1, 2, 3, None]), "0 to 255"),
        (pixels(data=[1, 2, 3, 10**30]), "0 to 255"),
        (pixels(data=[[1, 2], [3]]), "equal lengths"),
        ({"inputs": inputs(), "outputs": [{"name": "logits"}]}, "no output 'logits'"),
        ({"inputs": inputs(), "outputs": {}}, "must be a list"),
        ({"inputs": inputs(), "outputs": [{"name": "heatmap"}]}, "no output 'heatmap'"),
        ({"inputs": inputs(), "parameters": {"explain": 3}}, "'explain' must be a string"),
        (
            {"inputs": inputs(), "parameters": {"explain": "gradcam", "deadline_ms": "soon"}},
            "milliseconds",
        ),
        ({"inputs": inputs([b"x"] * 17)}, "at most 16"),
        ({"inputs": [{**inputs()[0], "shape": [17]}]}, "at most 16"),
    ],
)
def test_what_is_not_as_in_the_protocol_is_told(served: Any, request_: Any, said: str) -> None:
    answer = served.post(INFER, json=request_)
    assert answer.status_code in (400, 422), answer.text
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"inputs": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_told(served: Any, body: bytes) -> None:
    answer = served.post(INFER, content=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


def binary(blob: bytes, size: int | None = None, length: str | None = None) -> dict[str, Any]:
    given = {"name": "image", "datatype": "BYTES", "shape": [1]}
    sized = {**given, "parameters": {"binary_data_size": len(blob) if size is None else size}}
    text = json.dumps({"inputs": [sized]}).encode()
    header = {"Inference-Header-Content-Length": length or str(len(text))}
    return {"content": text + blob, "headers": header}


@pytest.mark.parametrize(
    "content",
    [
        binary(b"\x01\x00"),
        binary(struct.pack("<I", 5) + b"x"),
        binary(struct.pack("<I", 1) + b"x", size=4),
        binary(struct.pack("<I", 1) + b"x", length="999999"),
        binary(struct.pack("<I", 1) + b"x", length="-1"),
        binary(struct.pack("<I", 1) + b"x", length="9" * 5000),
        binary(b""),
    ],
)
def test_binary_data_of_wrong_length_are_told(served: Any, content: dict[str, Any]) -> None:
    answer = served.post(INFER, **content)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


def test_a_refused_image_keeps_its_status(served: Any) -> None:
    answer = served.post(INFER, json={"inputs": inputs([b"broken"])})
    assert answer.status_code == 415
    assert "no image" in answer.json()["error"]


def test_a_compressed_body_is_refused(served: Any) -> None:
    answer = served.post(INFER, content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


def test_other_addresses_of_the_protocol_are_told(served: Any) -> None:
    answer = served.get("/v2/repository/index")
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_without_a_key_the_error_has_the_form_of_the_protocol(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"name": "ward", "roles": ["predict"], "sha256": "0" * 64}
    monkeypatch.setenv("KDRAY_TEST_KEYS", json.dumps([key]))
    served = serve(auth={"environment": "KDRAY_TEST_KEYS"})
    answer = served.get("/v2/models/brain")
    assert (answer.status_code, list(answer.json())) == (401, ["error"])
    assert served.get("/v2/health/live").status_code == 200
