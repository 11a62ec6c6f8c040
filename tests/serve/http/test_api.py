"""The API before a desk without models: what is asked of it, and how it is told."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image

from kdray.spec.service import Limits
from kdray_serve.meter import Answered
from kdray_serve.records.keeping import Keeper
from kdray_serve.schema import Details, Models, Predictions, Problem
from kdray_serve.work import Caller, Predicted, Upload

CLASSES = ["glioma", "meningioma", "no tumor", "pituitary"]
PREDICT, EXPLAIN = "/v1/models/brain/predict", "/v1/models/brain/explain"


def refused(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return Problem.model_validate(answer.json(), strict=True).detail


def test_a_prediction_says_what_the_model_says_of_the_image(
    client: TestClient, encode: Callable[..., bytes]
) -> None:
    image = encode()
    answer = client.post(PREDICT, files={"image": ("scan.png", image)})
    told = Predictions.model_validate(answer.json(), strict=True)
    bright = float(np.asarray(Image.open(io.BytesIO(image))).mean()) / 255
    [one] = told.predictions
    rest = 1 - bright
    expected = dict(zip(CLASSES, (bright, rest / 2, rest / 3, rest / 6), strict=True))
    assert one.probabilities == pytest.approx(expected)
    assert one.prediction == "meningioma"
    assert one.calibrated
    assert one.prediction_set is not None
    assert one.prediction_set.classes == ["glioma", "meningioma"]
    assert one.prediction_set.coverage == 0.9
    assert one.ood is not None
    assert (one.ood.score, one.ood.flag, one.ood.flag_above) == (
        pytest.approx(bright),
        False,
        0.99,
    )
    assert (one.image.name, one.image.width, one.image.height) == ("scan.png", 60, 48)
    assert (told.model.name, told.model.version, told.model.weights_sha256) == (
        "brain",
        2,
        "a" * 64,
    )
    assert "Not a medical device" in told.notice
    assert told.milliseconds > 0


def test_the_order_of_the_probabilities_is_that_of_the_classes(
    client: TestClient, scan: bytes
) -> None:
    answer = client.post(PREDICT, files={"image": scan}).json()
    assert list(answer["predictions"][0]["probabilities"]) == CLASSES


def test_what_a_package_cannot_tell_is_null(
    client: TestClient, desk: Any, scan: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Predicted(
        np.full(4, 0.25, np.float32), np.zeros(4, np.float32), False, None, None, (1, 1), ""
    )
    monkeypatch.setattr(desk, "_said", lambda *_given: plain)
    [one] = client.post(PREDICT, files={"image": scan}).json()["predictions"]
    assert (one["prediction_set"], one["ood"], one["calibrated"]) == (None, None, False)


def test_an_image_unlike_the_training_images_is_flagged_above_the_limit_of_the_spec(
    client_of: Callable[..., TestClient], desk_of: Callable[..., Any], scan: bytes
) -> None:
    client = client_of(desk_of(ood={"flag_above": 0.1}, coverage=0.8))
    [one] = client.post(PREDICT, files={"image": scan}).json()["predictions"]
    assert (one["ood"]["flag"], one["prediction_set"]["coverage"]) == (True, 0.8)


def test_every_way_of_sending_an_image_gets_the_same_answer(
    client: TestClient, scan: bytes
) -> None:
    answers = [
        client.post(PREDICT, files={"image": ("", scan)}),
        client.post(PREDICT, json={"images": [base64.b64encode(scan).decode()]}),
        client.post(PREDICT, content=scan, headers={"Content-Type": "image/png"}),
        client.post(PREDICT, content=scan, headers={"Content-Type": "application/octet-stream"}),
    ]
    told = [answer.json()["predictions"] for answer in answers]
    assert told[0] == told[1] == told[2] == told[3]


def test_many_images_are_answered_in_their_order(
    client: TestClient, encode: Callable[..., bytes]
) -> None:
    sizes = [(60, 48), (20, 30), (44, 44)]
    files = [("image", (f"{w}.png", encode(size=(w, h)))) for w, h in sizes]
    told = client.post(PREDICT, files=files).json()["predictions"]
    assert [(one["image"]["width"], one["image"]["height"]) for one in told] == sizes
    assert [one["image"]["name"] for one in told] == ["60.png", "20.png", "44.png"]


def test_more_images_than_allowed_are_refused(
    client_of: Callable[..., TestClient], desk_of: Callable[..., Any], scan: bytes
) -> None:
    client = client_of(desk_of(limits=Limits(max_images=2)))
    files = [("image", ("scan.png", scan))] * 3
    assert "3 images; at most 2" in refused(client.post(PREDICT, files=files), 422)
    assert client.post(PREDICT, files=files[:2]).status_code == 200


def test_of_several_images_a_refusal_names_the_one(client: TestClient, scan: bytes) -> None:
    files = [("image", ("a.png", scan)), ("image", ("b.png", scan[:60]))]
    assert "image 2 (b.png)" in refused(client.post(PREDICT, files=files), 422)


def test_a_request_without_an_image_is_told_how_to_send_one(client: TestClient) -> None:
    assert "'image' is missing" in refused(client.post(PREDICT, json={"images": []}), 422)
    assert "multipart/form-data" in refused(client.post(PREDICT), 422)


def test_a_prediction_takes_no_fields(client: TestClient, scan: bytes) -> None:
    answer = client.post(PREDICT, files={"image": scan}, data={"method": "gradcam"})
    assert "no field 'method'" in refused(answer, 422)
    answer = client.post(f"{PREDICT}?class=glioma", files={"image": scan})
    assert "no parameter in the address 'class'" in refused(answer, 422)


def test_a_compressed_body_is_refused(client: TestClient, scan: bytes) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
    assert "compressed" in refused(client.post(PREDICT, content=scan, headers=headers), 415)


def test_the_desk_is_asked_by_the_name_in_the_address(
    client: TestClient, desk: Any, scan: bytes
) -> None:
    for name in ("brain", "brain@2", "brain@champion"):
        client.post(f"/v1/models/{quote(name)}/predict", files={"image": scan})
    assert [asked[2] for asked in desk.asked] == ["brain", "brain@2", "brain@champion"]


def test_the_desk_is_told_who_asks(client: TestClient, desk: Any, scan: bytes) -> None:
    answer = client.post(PREDICT, files={"image": scan}, headers={"X-Request-ID": "mine"})
    assert answer.json()["request_id"] == "mine"
    assert desk.asked[0][1] == Caller(
        "anybody", frozenset({"predict", "explain", "admin"}), "mine"
    )


def test_the_models_are_listed_and_shown(client: TestClient) -> None:
    listed = Models.model_validate(client.get("/v1/models").json(), strict=True)
    shown = Details.model_validate(client.get("/v1/models/brain@2").json(), strict=True)
    [model] = listed.models
    assert (model.name, model.version, model.teacher) == ("brain", 2, "teacher.brain@1")
    assert (shown.card, shown.versions, shown.id) == ("# brain", [1, 2], "cnn5")
    assert "card" not in client.get("/v1/models").json()["models"][0]


def test_an_unknown_model_is_404_with_those_that_are_there(
    client: TestClient, scan: bytes
) -> None:
    for answer in (
        client.post("/v1/models/liver/predict", files={"image": scan}),
        client.post("/v1/models/brain@7/explain", files={"image": scan}),
        client.get("/v1/models/liver"),
        client.get("/v1/models/liver/samples/0"),
    ):
        assert "brain@2" in refused(answer, 404)


def test_samples_are_fetched_by_their_place(client: TestClient) -> None:
    answer = client.get("/v1/models/brain/samples/0")
    assert Image.open(io.BytesIO(answer.content)).size == (60, 48)
    assert "There is 1" in refused(client.get("/v1/models/brain/samples/1"), 404)


def test_a_preview_is_the_image_as_png(client: TestClient, encode: Callable[..., bytes]) -> None:
    tiff = encode("TIFF")
    answer = client.post("/v1/preview", files={"image": ("scan.tiff", tiff)})
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(answer.content))),
        np.asarray(Image.open(io.BytesIO(tiff))),
    )


def test_a_preview_is_no_larger_than_screens(
    client: TestClient, encode: Callable[..., bytes]
) -> None:
    answer = client.post("/v1/preview", files={"image": encode(size=(4100, 20))})
    assert Image.open(io.BytesIO(answer.content)).size == (2048, 10)


def test_the_service_is_ready_when_its_desk_is(client: TestClient, desk: Any) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    desk.is_ready = False
    answer = client.get("/readyz")
    assert answer.headers["retry-after"] == "5"
    refused(answer, 503)
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_document_describes_requests_answers_and_keys(
    client_of: Callable[..., TestClient], desk_of: Callable[..., Any]
) -> None:
    from kdray.spec.keys import make_key

    client = client_of(desk_of(auth=None), keys=[make_key("a", ["admin"])[1]])
    document = client.get("/openapi.json").json()
    predict = document["paths"]["/v1/models/{name}/predict"]["post"]
    assert predict["operationId"] == "predict"
    assert {"multipart/form-data", "application/json", "image/png", "application/dicom"} <= set(
        predict["requestBody"]["content"]
    )
    ok = predict["responses"]["200"]["content"]["application/json"]["schema"]
    assert ok == {"$ref": "#/components/schemas/Predictions"}
    assert {"400", "401", "403", "404", "413", "415", "422", "429", "503", "504"} <= set(
        predict["responses"]
    )
    assert predict["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_operations_have_names_of_their_own(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    names = [one["operationId"] for path in paths.values() for one in path.values()]
    assert len(set(names)) == len(names)


def test_uploads_are_kept_under_their_hash_and_once(tmp_path: Path) -> None:
    from kdray.store import Store

    keeper = Keeper(Store(str(tmp_path)), "clinic")
    said = Predicted(
        np.ones(1, np.float32), np.ones(1, np.float32), True, None, None, (1, 1), "f" * 64
    )
    caller = Caller("a", frozenset(), "1")
    images = (Upload(b"scan", "../../secret.png"), Upload(b"scan"))
    facts = {
        "route": "predict",
        "explained": None,
        "seconds": 0.0,
        "is_canary": False,
        "when": 0.0,
    }
    keeper.answered(
        Answered(caller, ("b", 1), ("x",), "", images=images, predicted=(said, said), **facts)
    )  # type: ignore[arg-type]
    keeper.close()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept == [tmp_path / "services" / "clinic" / "uploads" / ("f" * 64)]
    assert kept[0].read_bytes() == b"scan"
    assert kept[0].parent.stat().st_mode & 0o777 == 0o700


def test_the_application_is_imported_without_heavy_libraries() -> None:
    code = (
        "import sys, json; import kdray_serve.http.app; "
        "print(json.dumps([m for m in ('torch', 'ray', 'pyarrow', 'sklearn', 'matplotlib', "
        "'pandas', 'scipy', 'boto3') if m in sys.modules]))"
    )
    serve = Path(__file__).parents[3] / "serve"
    done = run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(serve)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
