"""``POST /v1/models/{name}/predict``: images in, probabilities out."""

from __future__ import annotations

from time import perf_counter

from fastapi import APIRouter, Request, Response

from kdray_serve.desk import Desk
from kdray_serve.http import bodies
from kdray_serve.http.direct import Direct
from kdray_serve.http.documented import answers, images_in
from kdray_serve.http.routes.models import ModelName
from kdray_serve.http.uploads import read_form
from kdray_serve.http.visit import caller_of, visit_of
from kdray_serve.schema import Predictions


def router(desk: Desk) -> APIRouter:
    """Return the route.

    Args:
        desk: Who answers.
    """
    routes = APIRouter(tags=["answers"], route_class=Direct)
    service = desk.service

    @routes.post(
        "/v1/models/{name}/predict",
        summary="Classify images",
        responses=answers(Predictions, 400, 404, 413, 415, 422, 503, 504),
        openapi_extra=images_in(several=True),
        response_model=None,
    )
    async def predict(name: ModelName, request: Request) -> Response:
        """Classify one or many images."""
        caller = caller_of(request)
        form = await read_form(request, service.limits.max_images)
        started = perf_counter()
        model, said = await desk.predict(caller, name, form.images)
        visit_of(request).model = (model.name, model.version)
        milliseconds = (perf_counter() - started) * 1000
        pairs = tuple(zip(form.images, said, strict=True))
        body = bodies.predictions(service, caller.request_id, model, pairs, milliseconds)
        return Response(body, media_type="application/json")

    return routes
