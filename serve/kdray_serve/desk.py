"""Where the routes take a request, whatever protocol it came by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kdray.spec.service import Service
from kdray_serve.schema import Details
from kdray_serve.work import Caller, Explained, Pixels, Predicted, Upload, Wish


class Desk(Protocol):
    """Chooses the version, has it answer, and sees to shadow, audit log and metrics."""

    @property
    def service(self) -> Service:
        """What is served, and within which limits."""

    def models(self) -> list[Details]:
        """Return what is served now; the first version of a name answers to the name alone."""

    def found(self, name: str) -> Details:
        """Return the model of ``name``, ``name@version`` or ``name@alias``.

        Raises:
            Refusal: 404; says what there is.
        """

    async def predict(
        self, caller: Caller, name: str, images: Sequence[Upload]
    ) -> tuple[Details, list[Predicted]]:
        """Return which version answered, and what it says of each image.

        Raises:
            Refusal: An image cannot be used (says which), too many wait, or it took too long.
        """

    async def explain(
        self, caller: Caller, name: str, image: Upload, wish: Wish
    ) -> tuple[Details, Explained]:
        """Return which version answered, and where it looked.

        Raises:
            Refusal: Image, method or class cannot be used, too many wait, or it took too long.
        """

    async def preview(self, image: Upload) -> Pixels:
        """Return an image file's pixels, upright, for browsers that cannot show the file.

        Raises:
            Refusal: The image cannot be used.
        """

    async def sample(self, name: str, number: int) -> bytes:
        """Return the PNG file of a model's sample image.

        Args:
            name: As for ``found``.
            number: Its place, from 0; only compared, never part of a path.

        Raises:
            Refusal: 404; says how many there are.
        """

    async def ready(self) -> bool:
        """Return whether predictions and explanations would be answered now."""

    async def refresh(self) -> dict[str, Any]:
        """Look up the aliases now; return what changed."""

    async def status(self) -> dict[str, Any]:
        """Return what is loaded, what waits, and how canary and shadow do."""
