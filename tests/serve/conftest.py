"""A registry with a small model of random weights, a desk without models, and image files."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from kdray.images import decode, fit
from kdray.models import build_model
from kdray.registry import Registry, write_package
from kdray.spec.service import ServedModel, Service
from kdray_serve.answering.intake import take
from kdray_serve.desk import Desk
from kdray_serve.http.app import create_app
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Details, Input, Method
from kdray_serve.work import (
    Beside,
    Caller,
    Explained,
    Mapped,
    Pixels,
    Predicted,
    Upload,
    Wish,
)

WIDTHS = {"widths": [4, 8, 8, 12, 16]}


@pytest.fixture(autouse=True)
def _loggers() -> None:
    """Let our loggers speak as in a process of their own: libraries of others silence them."""
    logging.disable(logging.NOTSET)
    logging.root.setLevel(logging.WARNING)
    for name in logging.root.manager.loggerDict:
        if name.startswith("kdray"):
            logger = logging.getLogger(name)
            logger.disabled, logger.propagate = False, True


@dataclass(frozen=True)
class Info:
    classes: tuple[str, ...] = ("glioma", "meningioma", "no tumor", "pituitary")
    image_size: int = 64
    channels: int = 1
    mean: tuple[float, ...] = (0.2,)
    std: tuple[float, ...] = (0.2,)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URI of a registry with `brain` 1 and 2, of which 2 is the champion."""
    root = tmp_path_factory.mktemp("serve")
    registry = Registry(str(root / "registry"))
    for seed in (1, 2):
        folder = root / f"package-{seed}"
        folder.mkdir()
        net = build_model("cnn5", WIDTHS, channels=1, classes=4, image_size=64, seed=seed)
        write_package(
            folder,
            net,
            model={"name": "cnn5", "params": WIDTHS},
            id="cnn5",
            role="student",
            info=Info(),
            lineage={"job": "quickstart", "teacher": {"id": "resnet18"}, "seeds": [0, 1]},
        )
        registry.promote("brain", registry.add("brain", folder, key=str(seed)))
    return registry.uri


@pytest.fixture
def service(registry: str) -> Callable[..., Service]:
    """Return a function that makes a service of `brain` with the given fields."""

    def make(**fields: object) -> Service:
        given = {"models": (ServedModel(name="brain"),), "registry": registry, **fields}
        return Service(apiVersion="kdray/v1", kind="Service", name="test", **given)

    return make


def drawn(size: tuple[int, int] = (60, 48)) -> Image.Image:
    """Return a grey picture of a disc with a bright spot, width x height."""
    width, height = size
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    disc = 90.0 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.16)
    spot = 130.0 * np.exp(-((x - 0.62) ** 2 + (y - 0.4) ** 2) / 0.006)
    return Image.fromarray(np.clip(disc + spot, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def scan() -> bytes:
    """Return a PNG file."""
    return encoded(drawn())


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory: pytest.TempPathFactory, scan: bytes) -> Path:
    """Return the path of a PNG file."""
    file = tmp_path_factory.mktemp("scan") / "scan-017.png"
    file.write_bytes(encoded(drawn((512, 420))))
    return file


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Return the function that writes the drawn scan as another kind of file."""
    return lambda kind="PNG", mode="L", size=(60, 48), **options: encoded(
        drawn(size).convert(mode), kind, **options
    )


CLASSES = ["glioma", "meningioma", "no tumor", "pituitary"]


class FakeDesk:
    """A desk without models: its numbers are of the image's brightness, so they can be checked.

    The first class has the mean brightness of the image as its probability; the map of a class is
    the image itself, and that of the last class shows nothing.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.asked: list[tuple[Any, ...]] = []
        self.is_ready = True
        self.fails: BaseException | None = None

    def models(self) -> list[Details]:
        methods = [Method(name=n, title=n.title(), needs_class=True) for n in ("gradcam", "fast")]
        facts = {"id": "cnn5", "role": "student", "architecture": {"name": "cnn5"}}
        facts |= {"weights_sha256": "a" * 64, "lineage": {"job": "quickstart"}, "metrics": {}}
        return [
            Details(
                name="brain",
                version=2,
                aliases=["champion"],
                classes=CLASSES,
                input=Input(width=16, height=16, channels=1),
                explanations=methods,
                teacher="teacher.brain@1",
                calibrated=True,
                samples=1,
                card="# brain",
                versions=[1, 2],
                **facts,
            )
        ]

    def found(self, name: str) -> Details:
        [model] = self.models()
        if name in ("brain", "brain@2", "brain@champion"):
            return model
        raise Refusal(404, f"There is no model {name!r} here. There are: brain@2.")

    async def predict(
        self, caller: Caller, name: str, images: Sequence[Upload]
    ) -> tuple[Details, list[Predicted]]:
        self.asked.append(("predict", caller, name, tuple(images)))
        return self.found(name), [self._said(image, place) for place, image in enumerate(images)]

    async def explain(
        self, caller: Caller, name: str, image: Upload, wish: Wish
    ) -> tuple[Details, Explained]:
        self.asked.append(("explain", caller, name, image, wish))
        model, predicted = self.found(name), self._said(image)
        method = wish.method or "gradcam"
        for word, known in ((method, ("gradcam", "fast")), *((c, CLASSES) for c in wish.classes)):
            if word not in known:
                raise Refusal(422, f"There is no {word!r}. There are: {', '.join(known)}.")
        places = tuple(CLASSES.index(c) for c in wish.classes) or (predicted.place,)
        shown = fit(decode(image.content), 16, 1)
        mapped = Mapped(
            method=method,
            places=places,
            maps=np.stack([shown[:, :, 0].astype(np.float32) / 255] * len(places)),
            reasons={k: "the map is blank." for k, place in enumerate(places) if place == 3},
            estimates=(0.97,) * len(places) if method == "fast" else None,
            milliseconds=1.0,
            forwards=len(places),
        )
        beside = None
        if wish.against is not None:
            if wish.against != "teacher":
                raise Refusal(404, f"There is no model {wish.against!r} here.")
            beside = Beside(
                model=("teacher.brain", 1),
                weights_sha256="b" * 64,
                classes=tuple(CLASSES),
                role="teacher",
                predicted=predicted,
                mapped=mapped,
                agreement=tuple(
                    dict.fromkeys(("pearson", "ssim", "iou20"), np.nan if place == 3 else 0.5)
                    for place in places
                ),
                chance={"pearson": 0.1},
            )
        replaced = "The deadline is too short." if wish.deadline_ms else ""
        return model, Explained(predicted, mapped, shown, replaced, beside)

    async def preview(self, image: Upload) -> Pixels:
        return take(image, self.service.limits.max_pixels).pixels

    async def sample(self, name: str, number: int) -> bytes:
        self.found(name)
        if number != 0:
            raise Refusal(404, f"There is no sample {number}. There is 1.")
        return encoded(drawn())

    async def ready(self) -> bool:
        return self.is_ready

    async def refresh(self) -> dict[str, Any]:
        return {"changed": []}

    async def status(self) -> dict[str, Any]:
        return {"loaded": []}

    def _said(self, image: Upload, place: int = 0) -> Predicted:
        if self.fails is not None:
            raise self.fails
        try:
            taken = take(image, self.service.limits.max_pixels)
        except Refusal as refusal:
            said = f"image {place + 1} ({image.name}): {refusal.detail}"
            raise Refusal(refusal.status, said) from refusal
        bright = float(taken.pixels.mean()) / 255
        rest = 1 - bright
        return Predicted(
            probabilities=np.array([bright, rest / 2, rest / 3, rest / 6], np.float32),
            logits=np.zeros(4, np.float32),
            is_calibrated=True,
            prediction_set=(0, 1),
            ood_score=bright,
            size=taken.size,
            sha256=taken.sha256,
        )


@pytest.fixture
def desk_of() -> Callable[..., FakeDesk]:
    """Return a function that makes a desk without models, of a service with the given fields."""

    def make(**fields: object) -> FakeDesk:
        given = {"models": (ServedModel(name="brain"),), "auth": "none", **fields}
        return FakeDesk(Service(apiVersion="kdray/v1", kind="Service", name="test", **given))

    return make


@pytest.fixture
def client_of() -> Callable[..., TestClient]:
    """Return a function that makes a client of an application; `headers` go with each request."""

    def make(desk: Desk, headers: dict[str, str] | None = None, **options: Any) -> TestClient:
        app = create_app(desk, **options)
        return TestClient(
            app,
            base_url="http://127.0.0.1:8000",  # with `auth: none` no other name is answered
            headers=headers or {},
            raise_server_exceptions=False,
        )

    return make
