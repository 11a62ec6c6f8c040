"""The protocols before a real model: they say what our own API says."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import uvicorn
from PIL import Image

from kdray.served import audit
from kdray.spec.service import ServedModel, Service
from kdray.store import Store
from kdray_serve.whole import Whole


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def address(registry: str, storage: Path) -> Iterator[str]:
    """Return host and port of a service of `brain`, which listens in a thread."""
    service = Service(
        apiVersion="kdray/v1",
        kind="Service",
        name="mri",
        models=(ServedModel(name="brain"),),
        registry=registry,
        storage=str(storage),
        auth="none",
        runtime="torch",
        refresh_seconds=0,
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        servers: list[uvicorn.Server] = []
        thread = threading.Thread(target=lambda: asyncio.run(_serve(service, listening, servers)))
        thread.start()
        while thread.is_alive() and not (servers and servers[0].started):
            thread.join(0.01)
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        servers[0].should_exit = True
        thread.join()


async def _serve(
    service: Service, listening: socket.socket, servers: list[uvicorn.Server]
) -> None:
    whole = Whole(service)
    await whole.start()
    config = uvicorn.Config(whole.app, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    servers.append(server)
    try:
        await server.serve([listening])
    finally:
        await whole.close()


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def own(address: str, verb: str, scan: bytes, **fields: str) -> Any:
    url = f"http://{address}/v1/models/brain/{verb}"
    answer = httpx.post(url, files={"image": scan}, data=fields, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def of_files(*files: bytes) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=object))
    return tensor


def test_the_client_is_told_what_our_own_api_tells(client: Any, address: str, scan: bytes) -> None:
    told = own(address, "predict", scan)
    found = client.infer("brain", [of_files(scan)])
    assert found.get_response()["model_version"] == str(told["model"]["version"])
    [prediction] = told["predictions"]
    assert found.as_numpy("label").tolist() == [prediction["prediction"].encode()]
    np.testing.assert_allclose(
        found.as_numpy("probabilities")[0], list(prediction["probabilities"].values()), atol=1e-6
    )


def test_values_of_pixels_give_the_answer_of_their_file(client: Any, scan: bytes) -> None:
    values = np.asarray(Image.open(BytesIO(scan)).convert("L"))[None, :, :, None]
    tensor = triton.InferInput("pixels", list(values.shape), "UINT8")
    tensor.set_data_from_numpy(values)
    by_values = client.infer("brain", [tensor]).as_numpy("probabilities")
    by_file = client.infer("brain", [of_files(scan)]).as_numpy("probabilities")
    np.testing.assert_allclose(by_values, by_file, atol=1e-6)


@pytest.mark.parametrize("wanted", ["all", "glioma"])
def test_the_maps_are_those_of_our_own_api(
    client: Any, address: str, scan: bytes, wanted: str
) -> None:
    told = own(
        address, "explain", scan, **{"method": "featuremaps", "class": wanted, "raw": "true"}
    )
    found = client.infer(
        "brain", [of_files(scan)], parameters={"explain": "featuremaps", "class": wanted}
    )
    maps = found.as_numpy("heatmap")[0]
    assert len(maps) == len(told["maps"])
    for ours, theirs in zip(maps, told["maps"], strict=True):
        values = np.frombuffer(base64.b64decode(theirs["values"]["float32"]), "<f4")
        np.testing.assert_allclose(ours.ravel(), values, atol=1e-6)
    labels = [label.decode() for label in found.as_numpy("heatmap_label")[0]]
    assert labels == [one["class"] for one in told["maps"]]


def test_another_version_is_compared_with(client: Any, scan: bytes) -> None:
    wish = {"explain": "featuremaps", "against": "brain@1"}
    found = client.infer("brain", [of_files(scan, scan)], parameters=wish)
    assert found.get_response()["parameters"]["against"] == "brain@1"
    agreement = found.as_numpy("agreement")
    assert agreement.shape == (2, 1, 3)
    np.testing.assert_array_equal(agreement[0], agreement[1])


def test_an_older_version_is_asked_by_its_number(client: Any, scan: bytes) -> None:
    found = client.infer("brain", [of_files(scan)], model_version="1")
    assert found.get_response()["model_version"] == "1"


def test_kserve_is_told_the_same(address: str, scan: bytes) -> None:
    instances = {"instances": [{"b64": base64.b64encode(scan).decode()}]}
    answer = httpx.post(f"http://{address}/v1/models/brain:predict", json=instances, timeout=60)
    [ours] = own(address, "predict", scan)["predictions"]
    [theirs] = answer.json()["predictions"]
    assert theirs["probabilities"] == pytest.approx(ours["probabilities"])
    assert theirs["image"]["sha256"] == ours["image"]["sha256"]


def test_what_any_protocol_answers_is_in_the_audit_log(
    client: Any, scan: bytes, storage: Path, until: Callable[..., None]
) -> None:
    found = client.infer("brain", [of_files(scan)], headers={"X-Request-ID": "oip-1"})

    def lines() -> list[dict[str, Any]]:
        told = audit.answers(Store(str(storage)), "mri")
        return [line for line in told if line["request_id"] == "oip-1"]

    until(lambda: len(lines()) == 1)
    [line] = lines()
    assert line["answer"]["class"].encode() == found.as_numpy("label")[0]


@pytest.fixture
def until() -> Callable[..., None]:
    def wait(happens: Callable[[], bool]) -> None:
        for _ in range(500):
            if happens():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it did not happen within 5 s")

    return wait
