"""The real service against requests of chance, made from its own document, and broken images."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kdray.spec.keys import make_key
from kdray.spec.service import Limits, ServedModel, Service
from kdray_serve.schema import Predictions, Problem
from kdray_serve.whole import Whole

PREDICT, EXPLAIN = "/v1/models/brain/predict", "/v1/models/brain/explain"
#: What is checked of each answer. That right data are accepted is not: of what the document calls
#: an image file, chance draws none. Keys are tested by themselves.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
Encode = Callable[..., bytes]
#: Decoders warn of what is broken.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def whole(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whole, str]]:
    """Return a service with a small real model, and its key."""
    secret, key = make_key("fuzz", ["admin"])
    service = Service(
        apiVersion="kdray/v1",
        kind="Service",
        name="fuzz",
        models=(ServedModel(name="brain"),),
        registry=registry,
        storage=str(tmp_path_factory.mktemp("fuzz")),
        runtime="torch",
        refresh_seconds=0,
        limits=Limits(max_upload_mb=1, max_pixels=1_000_000),
    )
    whole = Whole(service, [key])
    asyncio.run(whole.start())
    yield whole, secret
    asyncio.run(whole.close())


@pytest.fixture(scope="module")
def client(whole: tuple[Whole, str]) -> TestClient:
    headers = {"Authorization": f"Bearer {whole[1]}"}
    return TestClient(whole[0].app, headers=headers, raise_server_exceptions=False)


@pytest.fixture
def expected(client: TestClient, scan: bytes) -> Iterator[dict[str, float]]:
    """Return the answer for the scan, which is the same after the test."""

    def answered() -> dict[str, float]:
        answer = client.post(PREDICT, files={"image": scan})
        probabilities: dict[str, float] = answer.json()["predictions"][0]["probabilities"]
        return probabilities

    before = answered()
    yield before
    assert answered() == pytest.approx(before)
    assert client.get("/readyz").status_code == 200
    assert client.post(EXPLAIN, files={"image": scan}).status_code == 200


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_requests_of_chance_are_answered_as_documented(
    whole: tuple[Whole, str], encode: Encode, expected: dict[str, float], mode: GenerationMode
) -> None:
    files = [encode(), encode("JPEG"), encode(size=(1, 1)), encode()[:99], b"", b"no image"]
    _draw_images_from(files)
    schema = schemathesis.openapi.from_asgi("/openapi.json", whole[0].app)
    statuses: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        # Without a body there is nothing that the document could forbid.
        if mode is GenerationMode.POSITIVE or operation.body:
            _fuzz(operation, mode, whole[1], statuses)
    assert statuses[422]
    assert statuses[200] or mode is GenerationMode.NEGATIVE


def _draw_images_from(files: list[bytes]) -> None:
    words = [base64.b64encode(file).decode() for file in files]
    schemathesis.openapi.format("binary", st.sampled_from(files))
    schemathesis.openapi.format("byte", st.sampled_from(words))
    for kind in ("png", "jpeg", "tiff", "bmp", "webp"):
        schemathesis.openapi.media_type(f"image/{kind}", st.sampled_from(files))
    for kind in ("dicom", "octet-stream"):
        schemathesis.openapi.media_type(f"application/{kind}", st.sampled_from(files))


def _fuzz(operation: Any, mode: GenerationMode, secret: str, statuses: Counter[int]) -> None:
    # One operation in a known model, then in models that do not exist.
    names = [{"name": "brain"}, None] if "{name}" in operation.path else [None]
    headers = {"Authorization": f"Bearer {secret}"}
    for fixed in names:
        cases = operation.as_strategy(generation_mode=mode, path_parameters=fixed)

        @seed(6)
        @settings(
            max_examples=8 if fixed else 2,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def check(case: Any) -> None:
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=CHECKS)
            statuses[answer.status_code] += 1

        check()


def png_of(width: int, height: int, data: bytes) -> bytes:
    """Return a PNG file that claims to be of a size, with any data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def animated(kind: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (16, 16), shade) for shade in (0, 99)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def sent(client: TestClient, image: bytes, path: str = PREDICT) -> int:
    """Return the status of the answer for an image, having checked its form."""
    answer = client.post(path, files={"image": ("scan.png", image)})
    if answer.status_code == 200:
        if path == PREDICT:
            told = Predictions.model_validate(answer.json(), strict=True)
            assert sum(told.predictions[0].probabilities.values()) == pytest.approx(1, abs=1e-4)
    else:
        problem = Problem.model_validate(answer.json(), strict=True)
        assert problem.detail
        assert problem.status == answer.status_code
    return answer.status_code


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"])
def test_images_with_flipped_bits_get_a_right_answer_or_a_refusal(
    client: TestClient, expected: dict[str, float], encode: Encode, kind: str
) -> None:
    image = np.frombuffer(encode(kind, "RGB" if kind == "TIFF" else "L"), np.uint8)
    draws = np.random.default_rng(len(kind))
    for _ in range(25):
        broken = image.copy()
        places = draws.integers(0, min(len(image), 400), draws.integers(1, 6))
        broken[places] ^= np.uint8(1) << draws.integers(0, 8, len(places)).astype(np.uint8)
        assert sent(client, broken.tobytes()) in (200, 413, 415, 422)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"])
def test_truncated_images_are_refused_or_answered_never_a_fault(
    client: TestClient, expected: dict[str, float], encode: Encode, kind: str
) -> None:
    image = encode(kind)
    for end in sorted({*range(0, 40, 7), *range(40, len(image), max(1, len(image) // 12))}):
        assert sent(client, image[:end]) in (200, 415, 422)
    assert sent(client, image[: len(image) // 3]) in (415, 422)


@pytest.mark.parametrize(
    ("image", "status"),
    [
        (b"", 422),
        (b"\0" * 5000, 415),
        (b"%PDF-1.7 no image", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"\0" * 128 + b"DICM", 422),
        (b"\0" * 128 + b"DICM" + b"\xff" * 500, 422),
        (png_of(1, 1, b"\0\0"), 422),
        (png_of(0, 0, b""), 415),
        (png_of(30_000, 30_000, b""), 413),
        (png_of(2**31 - 1, 2**31 - 1, b""), 413),
        (png_of(1001, 1000, b"\0" * 1_002_000), 413),
        (png_of(64, 64, b"\0" * 50_000_000), 200),
        (png_of(64, 64, b""), 422),
        (animated("GIF"), 422),
        (animated("WEBP"), 422),
        (animated("PNG"), 422),
        (animated("TIFF"), 422),
    ],
)
def test_strange_files_are_refused_with_words(
    client: TestClient, expected: dict[str, float], image: bytes, status: int
) -> None:
    assert sent(client, image) == status
    assert sent(client, image, EXPLAIN) == status


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_of_8_bits_gets_the_answer_of_the_grey_image(
    client: TestClient, encode: Encode, mode: str
) -> None:
    def answered(image: bytes) -> dict[str, float]:
        answer = client.post(PREDICT, files={"image": image})
        probabilities: dict[str, float] = answer.json()["predictions"][0]["probabilities"]
        return probabilities

    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = encode(kind, mode)
    grey = io.BytesIO()
    with Image.open(io.BytesIO(image)) as picture:
        picture.convert("RGB").save(grey, "PNG")
    assert answered(image) == pytest.approx(answered(grey.getvalue()), abs=0.02)


def test_16_bits_are_refused_with_what_to_do(client: TestClient, encode: Encode) -> None:
    answer = client.post(PREDICT, files={"image": encode(mode="I;16")})
    assert answer.status_code == 422
    assert "8 bits" in answer.json()["detail"]


def test_bodies_of_chance_are_refused_never_a_fault(
    client: TestClient, expected: dict[str, float]
) -> None:
    draws = np.random.default_rng(6)
    kinds = ["application/json", "multipart/form-data; boundary=x", "image/png", "text/plain", ""]
    for place in range(100):
        body = draws.bytes(int(draws.integers(0, 200)))
        if place % 2:
            body = b"--x\r\nContent-Disposition: form-data; " + body + b"\r\n--x--"
        answer = client.post(
            (PREDICT, EXPLAIN)[place % 2],
            content=body,
            headers={"Content-Type": kinds[place % len(kinds)]},
        )
        assert answer.status_code in (400, 415, 422)
