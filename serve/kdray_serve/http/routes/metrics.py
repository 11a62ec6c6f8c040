"""``GET /metrics``: counts for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from kdray_serve.desk import Desk
from kdray_serve.http.visit import caller_of
from kdray_serve.records.metrics import MEDIA_TYPE
from kdray_serve.records.observed import Observed


def router(desk: Desk, observed: Observed) -> APIRouter:
    """Return the route.

    Args:
        desk: Who knows whether it is ready.
        observed: Who has counted.
    """
    routes = APIRouter(tags=["service"])

    @routes.get(
        "/metrics",
        summary="Count requests, answers and models",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Text of Prometheus."}},
    )
    async def metrics(request: Request) -> Response:
        """Return the counts of this process in the text format of Prometheus."""
        caller_of(request, "admin")
        observed.metrics.ready(await desk.ready())
        return Response(observed.text(), media_type=MEDIA_TYPE)

    return routes
