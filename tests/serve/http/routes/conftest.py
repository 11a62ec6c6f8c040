"""The application before a desk that answers by arithmetic, so that tests can foretell it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from kdray.spec.service import Service
from kdray_serve.http.app import create_app
from kdray_serve.http.routes import feedback, metrics
from kdray_serve.meter import Answered
from kdray_serve.records.observed import Observed
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Details, Input, Method
from kdray_serve.work import Beside, Caller, Explained, Mapped, Predicted, Upload, Wish

CLASSES = ("glioma", "no tumor", "pituitary")
METHODS = ("gradcam", "scorecam_fast")
SIZE = 4


def details(version: int = 3) -> Details:
    return Details(
        name="brain",
        version=version,
        aliases=["champion"],
        classes=list(CLASSES),
        input=Input(width=SIZE, height=SIZE, channels=1),
        explanations=[Method(name=name, title=name, needs_class=True) for name in METHODS],
        calibrated=True,
        id="cnn5",
        role="student",
        architecture={},
        weights_sha256="w" * 64,
        lineage={},
        metrics={},
        card="",
    )


@dataclass
class CountingDesk:
    """Says class ``n`` of an image file whose length is ``n`` modulo the number of classes."""

    service: Service
    observed: Observed | None = None
    is_ready: bool = True
    can_tell: bool = True
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def models(self) -> list[Details]:
        return [details()]

    def found(self, name: str) -> Details:
        if name in ("brain", "brain@3", "brain@champion"):
            return details()
        raise Refusal(404, f"There is no model {name!r} here. There are: brain@3.")

    async def predict(
        self, caller: Caller, name: str, images: Sequence[Upload]
    ) -> tuple[Details, list[Predicted]]:
        model = self.found(name)
        self.asked.append((name, [image.content for image in images]))
        said = [self._said(image) for image in images]
        self._noted(caller, model, images, said, None)
        return model, said

    async def explain(
        self, caller: Caller, name: str, image: Upload, wish: Wish
    ) -> tuple[Details, Explained]:
        model = self.found(name)
        self.asked.append((name, wish))
        predicted = self._said(image)
        places = tuple(map(CLASSES.index, wish.classes)) or (predicted.place,)
        mapped = self._mapped(wish.method or METHODS[0], places)
        beside = None
        if wish.against is not None:
            scores = [{"pearson": 0.5, "ssim": 0.25, "iou20": 0.125} for _ in places]
            beside = Beside(
                model=("teacher", 2),
                weights_sha256="t" * 64,
                classes=CLASSES,
                role="teacher",
                predicted=predicted,
                mapped=mapped,
                agreement=tuple(scores),
                chance={"pearson": 0.1},
            )
        shown = np.zeros((SIZE, SIZE, 1), np.uint8)
        said = Explained(predicted, mapped, shown, beside=beside)
        self._noted(caller, model, [image], [predicted], said)
        return model, said

    async def ready(self) -> bool:
        return self.is_ready

    def _said(self, image: Upload) -> Predicted:
        content = image.content
        data = content if isinstance(content, bytes) else content.tobytes()
        if data == b"broken":
            raise Refusal(415, "The file is no image that can be read here.")
        place = (len(data) if isinstance(content, bytes) else int(content.max())) % len(CLASSES)
        shares = np.full(len(CLASSES), 0.125, np.float32)
        shares[place] = 0.75
        return Predicted(
            shares,
            np.log(shares),
            True,
            (place,) if self.can_tell else None,
            0.5 if self.can_tell else None,
            (SIZE, SIZE),
            hashlib.sha256(data).hexdigest(),
        )

    def _mapped(self, method: str, places: tuple[int, ...]) -> Mapped:
        maps = np.zeros((len(places), SIZE, SIZE), np.float32)
        for row, place in zip(maps, places, strict=True):
            row[place, place] = 1
        blank = {number: "blank by nature" for number, place in enumerate(places) if place == 1}
        maps[list(blank)] = np.nan
        estimates = tuple(0.97 for _ in places) if method == "scorecam_fast" else None
        return Mapped(method, places, maps, blank, estimates, 1.5, 1)

    def _noted(
        self,
        caller: Caller,
        model: Details,
        images: Sequence[Upload],
        said: Sequence[Predicted],
        explained: Explained | None,
    ) -> None:
        if self.observed is not None:
            key = (model.name, model.version)
            route = "predict" if explained is None else "explain"
            self.observed.answered(
                Answered(
                    caller=caller,
                    key=key,
                    classes=CLASSES,
                    weights_sha256=model.weights_sha256,
                    route=route,
                    images=tuple(images),
                    predicted=tuple(said),
                    explained=explained,
                    seconds=0.01,
                    is_canary=False,
                    when=1_795_000_000.0,
                )
            )


@dataclass
class Served:
    """An application and what stands around it."""

    app: FastAPI
    desk: CountingDesk
    observed: Observed
    storage: Path

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self.ask("POST", path, **content)

    def get(self, path: str, **content: Any) -> httpx.Response:
        return self.ask("GET", path, **content)

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8000"
            ) as client:
                return await client.request(method, path, **content)

        return asyncio.run(asked())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Return a function that makes an application of `brain` with the given fields."""
    made: list[Observed] = []

    def make(**fields: Any) -> Served:
        given = {"auth": "none", "models": ["brain"], "storage": str(tmp_path), **fields}
        service = Service(apiVersion="kdray/v1", kind="Service", name="mri", **given)
        observed = Observed(service)
        made.append(observed)
        desk = CountingDesk(service, observed)
        routers = [feedback.router(desk, observed), metrics.router(desk, observed)]
        app = create_app(desk, listeners=[observed], routers=routers)
        return Served(app, desk, observed, tmp_path)

    yield make
    for observed in made:
        observed.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def address(served: Served) -> Iterator[str]:
    """Return host and port of the application, listening in a thread."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(served.app, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run([listening]))
        thread.start()
        while not server.started and thread.is_alive():
            thread.join(0.01)
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        server.should_exit = True
        thread.join()
