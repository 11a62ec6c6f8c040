"""``/healthz`` and ``/readyz``: for whoever starts and watches the service."""

from __future__ import annotations

from fastapi import APIRouter

from kdray_serve.desk import Desk
from kdray_serve.http.documented import answers
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Health


def router(desk: Desk) -> APIRouter:
    """Return the routes.

    Args:
        desk: Who knows whether the models are loaded.
    """
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Is the process alive?", responses=answers(Health))
    async def healthz() -> Health:
        """Tell that the process answers."""
        return Health(status="ok")

    @routes.get("/readyz", summary="Are the models loaded?", responses=answers(Health, 503))
    async def readyz() -> Health:
        """Tell whether predictions and explanations would be answered now."""
        if not await desk.ready():
            detail = "The models are not all loaded yet, or do not come to an end any more."
            raise Refusal(503, detail, {"Retry-After": "5"})
        return Health(status="ready")

    return routes
