"""Keeps uploaded images, where the spec says so (``store_uploads``): under their hash, once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

from kdray.store import Store
from kdray_serve.meter import Answered
from kdray_serve.records.background import Background

_LOG = logging.getLogger("kdray.uploads")
#: Images that may wait for the storage; each may be as large as a request.
_WAITING = 16
#: Hashes that are remembered, so that the storage need not be asked again.
_REMEMBERED = 10_000


class Keeper:
    """Writes image files as ``services/NAME/uploads/SHA256`` of a storage, by its own thread.

    Only files that a model answered are kept. A storage that cannot keep up loses images, and the
    log says so; no request waits for it.

    Args:
        store: The service's storage.
        service: The service's name.
    """

    def __init__(self, store: Store, service: str) -> None:
        self._store = store
        self._folder = f"services/{service}/uploads"
        if store.is_local:  # images of patients: for nobody but the service's user
            Path(store.path(self._folder)).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._queue: Background[tuple[str, bytes]] = Background(
            "uploads", self._write, limit=_WAITING
        )

    def answered(self, answered: Answered) -> None:
        """Keep the image files of an answer; pixels that came as numbers are no file."""
        for image, predicted in zip(answered.images, answered.predicted, strict=True):
            if isinstance(image.content, bytes) and predicted.sha256 not in self._known:
                self._keep(predicted.sha256, image.content)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._queue.close()

    def _keep(self, sha256: str, content: bytes) -> None:
        if not self._queue.put((sha256, content)):
            _LOG.error("the image %s is not kept: the storage is too slow", sha256)
            return
        self._known[sha256] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _write(self, images: list[tuple[str, bytes]]) -> None:
        for sha256, content in images:
            name = f"{self._folder}/{sha256}"
            if not self._store.exists(name):
                self._store.write(name, content)
