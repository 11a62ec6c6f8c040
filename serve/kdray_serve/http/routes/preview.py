"""``POST /v1/preview``: an image file as PNG, for browsers that cannot show DICOM or TIFF."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from kdray_serve.desk import Desk
from kdray_serve.http import bodies
from kdray_serve.http.direct import Direct
from kdray_serve.http.documented import answers, images_in
from kdray_serve.http.uploads import read_form
from kdray_serve.http.visit import caller_of


def router(desk: Desk) -> APIRouter:
    """Return the route.

    Args:
        desk: Who decodes.
    """
    routes = APIRouter(tags=["answers"], route_class=Direct)

    @routes.post(
        "/v1/preview",
        summary="Show an image as PNG",
        responses=answers(None, 400, 413, 415, 422, 503, 504, png=True),
        openapi_extra=images_in(several=False),
        response_class=Response,
    )
    async def preview(request: Request) -> Response:
        """Return an image as models see it, upright and of 8 bits; at most 2048 pixels a side."""
        caller_of(request)
        form = await read_form(request, 1)
        pixels = await desk.preview(form.images[0])
        return Response(await asyncio.to_thread(bodies.preview, pixels), media_type="image/png")

    return routes
