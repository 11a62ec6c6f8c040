"""The HTTP application, without Ray."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image

from kdray.infer import Predictor
from kdray.registry import Registry, read_package, write_package
from kdray.spec.service import Limits, ServedModel, Service
from kdray.spec.strict import Part
from kdray_serve.answers import Answers, Here
from kdray_serve.app import create_app
from kdray_serve.catalogue import details, pinned
from kdray_serve.refusal import Refusal
from kdray_serve.service import Models


def client_of(service: Service, answers: Answers | None = None) -> TestClient:
    service = pinned(service)
    answers = answers or Here(Models(service))
    app = create_app(details(service), answers, service.limits)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(registry: str) -> TestClient:
    return client_of(
        Service(
            apiVersion="kdray/v1",
            kind="Service",
            name="test",
            registry=registry,
            models=(ServedModel(name="brain"), ServedModel(name="brain", version="1")),
            limits=Limits(max_upload_mb=0.5, max_pixels=1_000_000),
        )
    )


def post(
    client: TestClient, verb: str = "predict", *, image: bytes, model: str = "brain", **fields: str
) -> Response:
    files = {"image": ("scan.png", image)}
    return client.post(f"/v1/models/{model}/{verb}", files=files, data=fields)


def refused(response: Response, status: int) -> str:
    """Return the detail of a problem, checking that it is one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    return str(problem["detail"])


def test_a_prediction_has_probabilities_of_all_classes_that_sum_to_one(
    client: TestClient, scan: bytes
) -> None:
    answer = post(client, image=scan).json()
    assert list(answer["probabilities"]) == ["glioma", "meningioma", "no tumor", "pituitary"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_a_prediction_is_that_of_the_package(
    client: TestClient, registry: str, scan: bytes
) -> None:
    predictor = Predictor(Registry(registry).fetch("brain", 2))
    expected = predictor.predict(predictor.decode(scan)[None])[0]
    answer = post(client, image=scan).json()
    np.testing.assert_allclose(list(answer["probabilities"].values()), expected, rtol=1e-5)


def test_an_answer_names_version_weights_and_notice(
    client: TestClient, registry: str, scan: bytes
) -> None:
    answer = post(client, image=scan).json()
    weights = Registry(registry).describe("brain", 2)["weights"]["sha256"]
    assert answer["model"] == {"name": "brain", "version": 2, "weights_sha256": weights}
    assert answer["milliseconds"] > 0
    assert "Not a medical device" in answer["notice"]


def test_an_older_version_answers_under_its_number(client: TestClient, scan: bytes) -> None:
    assert post(client, image=scan, model="brain@1").json()["model"]["version"] == 1


def test_an_explanation_is_a_picture_of_input_size_for_the_predicted_class(
    client: TestClient, scan: bytes
) -> None:
    answer = post(client, "explain", image=scan).json()
    assert answer["class"] == answer["prediction"]
    assert answer["method"] == "gradcam"
    heat = answer["heat_map"]
    picture = Image.open(io.BytesIO(base64.b64decode(heat["png"])))
    assert (picture.mode, picture.size) == ("RGBA", (64, 64))
    assert (heat["width"], heat["height"]) == (64, 64)
    assert np.asarray(picture)[..., 3].max() == 255


def test_an_explanation_predicts_as_predict_does(client: TestClient, scan: bytes) -> None:
    explained, predicted = (
        post(client, verb, image=scan).json() for verb in ("explain", "predict")
    )
    assert explained["probabilities"] == pytest.approx(predicted["probabilities"])


def test_method_and_class_of_an_explanation_can_be_chosen(client: TestClient, scan: bytes) -> None:
    fields = {"method": "featuremaps", "class": "pituitary"}
    answer = post(client, "explain", image=scan, **fields).json()
    assert (answer["method"], answer["class"]) == ("featuremaps", "pituitary")


def test_empty_method_and_class_mean_the_default(client: TestClient, scan: bytes) -> None:
    answer = post(client, "explain", image=scan, **{"method": "", "class": ""}).json()
    assert (answer["method"], answer["class"]) == ("gradcam", answer["prediction"])


def test_an_exact_map_has_no_estimate(client: TestClient, scan: bytes) -> None:
    assert post(client, "explain", image=scan).json()["estimate"] is None


def test_an_approximate_map_has_an_estimate_of_its_correlation_with_the_exact_one(
    client: TestClient, scan: bytes
) -> None:
    answer = post(client, "explain", image=scan, method="scorecam_fast").json()
    assert -1 <= answer["estimate"] <= 1


def test_a_preset_is_served_under_its_own_name(
    service: Callable[..., Service], scan: bytes
) -> None:
    methods = (Part(name="grad-cam"), Part(name="dfs-ex-texture"))
    client = client_of(service(explain=methods))
    listed = client.get("/v1/models/brain").json()["explanations"]
    assert [method["name"] for method in listed] == ["grad-cam", "dfs-ex-texture"]
    assert [method["title"].partition(":")[0] for method in listed] == [
        "Grad-CAM",
        "DFS-Ex (dfs-ex-texture)",
    ]
    assert post(client, "explain", image=scan).json()["method"] == "grad-cam"
    assert refused(post(client, "explain", image=scan, method="gradcam"), 422)


def test_a_map_that_shows_nothing_is_422_with_the_reason(
    service: Callable[..., Service], scan: bytes, tmp_path: Path
) -> None:
    source = Registry(service().registry).fetch("brain", 2)
    package = read_package(source)
    net = package.build()
    for weight in net.module.parameters():
        weight.data.zero_()
    registry, folder = Registry(str(tmp_path / "registry")), tmp_path / "blank"
    folder.mkdir()
    who = {"id": package.id, "role": package.role, "lineage": {}}
    write_package(folder, net, model=package.model, info=package, **who)
    registry.promote("brain", registry.add("brain", folder, key="blank"))
    client = client_of(service(registry=registry.uri))
    assert "the map is blank" in refused(post(client, "explain", image=scan), 422)


def test_the_settings_of_the_spec_reach_the_explanation(
    service: Callable[..., Service], scan: bytes
) -> None:
    methods = (Part(name="gradcam", params={"tap": "stage1"}),)
    shallow = client_of(service(explain=methods))
    deep = client_of(service())
    maps = [post(c, "explain", image=scan).json()["heat_map"]["png"] for c in (shallow, deep)]
    assert maps[0] != maps[1]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_common_kinds_of_image_files_are_read(
    client: TestClient, encode: Callable[..., bytes], kind: str
) -> None:
    assert post(client, image=encode(kind)).status_code == 200


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_common_pixel_modes_are_read(
    client: TestClient, encode: Callable[..., bytes], mode: str
) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert post(client, image=encode(kind, mode)).status_code == 200


def test_an_image_of_one_pixel_is_answered(
    client: TestClient, encode: Callable[..., bytes]
) -> None:
    assert post(client, image=encode(size=(1, 1))).status_code == 200


def test_an_unknown_model_is_404_with_those_that_are_there(
    client: TestClient, scan: bytes
) -> None:
    for response in (
        post(client, image=scan, model="liver"),
        post(client, "explain", image=scan, model="brain@7"),
        client.get("/v1/models/liver"),
    ):
        assert "brain@2, brain@1" in refused(response, 404)


def test_an_unknown_method_is_422_with_those_that_are_there(
    client: TestClient, scan: bytes
) -> None:
    detail = refused(post(client, "explain", image=scan, method="shap"), 422)
    assert "gradcam, scorecam_fast, featuremaps" in detail


def test_an_unknown_class_is_422_with_those_that_are_there(
    client: TestClient, scan: bytes
) -> None:
    detail = refused(post(client, "explain", image=scan, **{"class": "cat"}), 422)
    assert "glioma, meningioma, no tumor, pituitary" in detail


def test_a_file_above_the_limit_is_413(client: TestClient) -> None:
    assert "0.5 MiB" in refused(post(client, image=b"x" * (2**19 + 1)), 413)


def test_a_body_far_above_the_limit_is_413(client: TestClient) -> None:
    assert "0.5 MiB" in refused(post(client, image=b"x" * 2**21), 413)


def test_a_body_of_unannounced_length_above_the_limit_is_413(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        for _ in range(32):
            yield b"x" * 2**16
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = client.post("/v1/models/brain/predict", content=chunks(), headers=headers)
    assert "0.5 MiB" in refused(response, 413)


def test_too_many_pixels_are_413(client: TestClient, encode: Callable[..., bytes]) -> None:
    detail = refused(post(client, image=encode(size=(1200, 1000))), 413)
    assert "1200 x 1000 pixels; at most 1,000,000" in detail


def test_a_file_that_is_no_image_is_415(client: TestClient) -> None:
    assert "PNG, JPEG" in refused(post(client, image=b"%PDF-1.7 no image"), 415)


def test_an_empty_file_is_422(client: TestClient) -> None:
    assert "empty" in refused(post(client, image=b""), 422)


def test_a_truncated_image_is_422(client: TestClient, encode: Callable[..., bytes]) -> None:
    data = encode("JPEG", size=(200, 200))
    assert "cannot be decoded" in refused(post(client, image=data[: len(data) // 2]), 422)


def test_an_image_of_16_bits_is_422_and_says_what_to_do(
    client: TestClient, encode: Callable[..., bytes]
) -> None:
    assert "8 bits" in refused(post(client, image=encode(mode="I;16")), 422)


def test_a_request_without_an_image_is_422_and_names_the_field(client: TestClient) -> None:
    response = client.post("/v1/models/brain/predict", data={"picture": "x"})
    assert "image:" in refused(response, 422)


def test_an_unknown_page_is_a_problem_too(client: TestClient) -> None:
    refused(client.get("/nowhere"), 404)
    refused(client.get("/v1/models/brain/predict"), 405)


def test_a_fault_of_the_service_is_500_without_a_traceback(
    service: Callable[..., Service], encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Predictor, "predict", broken)
    detail = refused(post(client_of(service()), image=encode()), 500)
    assert "secret" not in detail


class Full:
    """Answers nothing: every queue is full."""

    async def predict(self, *_arguments: Any) -> Any:
        raise Refusal(503, "Too many predictions are waiting.", {"Retry-After": "1"})

    explain = predict

    async def ready(self) -> bool:
        return False


def test_a_full_queue_is_503_with_retry_after(
    service: Callable[..., Service], scan: bytes
) -> None:
    for verb in ("predict", "explain"):
        response = post(client_of(service(), Full()), verb, image=scan)
        assert "Too many" in refused(response, 503)
        assert response.headers["retry-after"] == "1"


def test_readyz_is_503_until_the_models_are_loaded(service: Callable[..., Service]) -> None:
    client = client_of(service(), Full())
    refused(client.get("/readyz"), 503)
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_is_200_when_they_are(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}


class Slow:
    """Models whose explanations last until they are allowed to end."""

    def __init__(self) -> None:
        self.begun, self.allowed = threading.Event(), threading.Event()

    def explain(self, *_arguments: Any) -> str:
        self.begun.set()
        assert self.allowed.wait(20)
        return "explained"

    def predict(self, *_arguments: Any) -> str:
        return "predicted"


def test_explanations_that_wait_keep_no_prediction_waiting() -> None:
    async def scene() -> Any:
        models = Slow()
        here = Here(models)
        explaining = asyncio.create_task(here.explain(("m", 1), b"", None, None))
        assert await asyncio.to_thread(models.begun.wait, 20)
        predicted = await asyncio.wait_for(here.predict(("m", 1), b""), 20)
        models.allowed.set()
        return predicted, await explaining

    assert asyncio.run(scene()) == ("predicted", "explained")


def test_more_requests_than_may_wait_are_refused() -> None:
    async def scene() -> Any:
        models = Slow()
        here = Here(models, max_queued=2)
        waiting = [asyncio.create_task(here.explain(("m", 1), b"", None, None)) for _ in range(2)]
        assert await asyncio.to_thread(models.begun.wait, 20)
        with pytest.raises(Refusal, match="Too many explanations"):
            await here.explain(("m", 1), b"", None, None)
        models.allowed.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(scene()) == ["explained", "explained"]


def test_the_list_of_models_has_classes_input_and_explanations(client: TestClient) -> None:
    [champion, older] = client.get("/v1/models").json()["models"]
    assert (champion["name"], champion["version"], champion["aliases"]) == (
        "brain",
        2,
        ["champion"],
    )
    assert (older["version"], older["aliases"]) == (1, [])
    assert champion["input"] == {"width": 64, "height": 64, "channels": 1}
    assert champion["explanations"][0]["name"] == "gradcam"
    assert all(method["title"] for method in champion["explanations"])
    assert "card" not in champion


def test_a_model_shows_lineage_and_card(client: TestClient) -> None:
    facts = client.get("/v1/models/brain").json()
    assert facts["lineage"]["teacher"] == {"id": "resnet18"}
    assert facts["card"].startswith("# brain, version 2")


def test_a_model_served_twice_is_listed_once(service: Callable[..., Service]) -> None:
    twice = (ServedModel(name="brain"), ServedModel(name="brain", version="2"))
    assert len(client_of(service(models=twice)).get("/v1/models").json()["models"]) == 1


def test_the_page_and_the_documentation_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    files = ("style.css", "page.js", "view.js", "api.js", "icon.svg")
    for path in ("/", "/docs", *(f"/page/{file}" for file in files)):
        response = client.get(path)
        assert response.status_code == 200, path
        text = response.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path


def test_the_openapi_document_describes_every_route_and_its_refusals(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert sorted(paths) == [
        "/healthz",
        "/readyz",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/models/{name}/explain",
        "/v1/models/{name}/predict",
    ]
    responses = paths["/v1/models/{name}/predict"]["post"]["responses"]
    assert sorted(responses) == ["200", "404", "413", "415", "422", "503"]
    for status in ("404", "413", "415", "422", "503"):
        assert list(responses[status]["content"]) == ["application/problem+json"]
