"""Keeps uploaded images, where the spec says so (``store_uploads``): under their hash, once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from kdray.spec.service import Service
from kdray.store import Store
from kdray_serve.background import Background
from kdray_serve.desk import Desk
from kdray_serve.schema import Details
from kdray_serve.work import Caller, Explained, Pixels, Predicted, Upload, Wish

_LOG = logging.getLogger("kdray.uploads")
#: Images that may wait for the storage; each may be as large as a request.
_WAITING = 16
#: Hashes that are remembered, so that the storage need not be asked again.
_REMEMBERED = 10_000


class Keeping:
    """A desk that keeps the images it was asked about, by a thread beside the requests.

    Only image files that a model answered are kept; a storage that cannot keep up loses images,
    and the log says so, but no request waits for it.

    Args:
        desk: Who answers.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._keeper = Keeper(desk.service)

    @property
    def service(self) -> Service:
        """What is served, and within which limits."""
        return self._desk.service

    def models(self) -> list[Details]:
        """Return what is served now."""
        return self._desk.models()

    def found(self, name: str) -> Details:
        """Return the model of a name."""
        return self._desk.found(name)

    async def predict(
        self, caller: Caller, name: str, images: Sequence[Upload]
    ) -> tuple[Details, list[Predicted]]:
        """Return which version answered, and what it says of each image."""
        model, said = await self._desk.predict(caller, name, images)
        for image, predicted in zip(images, said, strict=True):
            self._keeper.keep(image, predicted.sha256)
        return model, said

    async def explain(
        self, caller: Caller, name: str, image: Upload, wish: Wish
    ) -> tuple[Details, Explained]:
        """Return which version answered, and where it looked."""
        model, said = await self._desk.explain(caller, name, image, wish)
        self._keeper.keep(image, said.predicted.sha256)
        return model, said

    async def preview(self, image: Upload) -> Pixels:
        """Return an image file's pixels."""
        return await self._desk.preview(image)

    async def sample(self, name: str, number: int) -> bytes:
        """Return the PNG file of a model's sample image."""
        return await self._desk.sample(name, number)

    async def ready(self) -> bool:
        """Return whether predictions and explanations would be answered now."""
        return await self._desk.ready()

    async def refresh(self) -> dict[str, Any]:
        """Look up the aliases now; return what changed."""
        return await self._desk.refresh()

    async def status(self) -> dict[str, Any]:
        """Return what is loaded, what waits, and how canary and shadow do."""
        return {**await self._desk.status(), "uploads_waiting": self._keeper.waiting}


class Keeper:
    """Writes image files as ``services/NAME/uploads/SHA256`` of a storage.

    Args:
        service: Whose.
    """

    def __init__(self, service: Service) -> None:
        self._store = Store(service.storage)
        self._folder = f"services/{service.name}/uploads"
        self._known: OrderedDict[str, None] = OrderedDict()
        self._queue: Background[tuple[str, bytes]] = Background(
            "uploads", self._write, limit=_WAITING
        )

    @property
    def waiting(self) -> int:
        """How many images are not written yet."""
        return self._queue.waiting

    def keep(self, image: Upload, sha256: str) -> None:
        """Keep an image file; pixels that came as numbers are no file."""
        if not isinstance(image.content, bytes) or sha256 in self._known:
            return
        if not self._queue.put((sha256, image.content)):
            _LOG.error("the image %s is not kept: the storage is too slow", sha256)
            return
        self._known[sha256] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._queue.close()

    def _write(self, images: list[tuple[str, bytes]]) -> None:
        for sha256, content in images:
            name = f"{self._folder}/{sha256}"
            if not self._store.exists(name):
                self._store.write(name, content)
