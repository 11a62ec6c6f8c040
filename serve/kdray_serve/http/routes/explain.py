"""``POST /v1/models/{name}/explain``: an image in, where the model looked out."""

from __future__ import annotations

import asyncio
from time import perf_counter

from fastapi import APIRouter, Request, Response

from kdray_serve.desk import Desk
from kdray_serve.http import bodies
from kdray_serve.http.accept import accepted
from kdray_serve.http.direct import Direct
from kdray_serve.http.documented import answers, images_in
from kdray_serve.http.routes.models import ModelName
from kdray_serve.http.uploads import WISHES, read_form
from kdray_serve.http.visit import caller_of, visit_of
from kdray_serve.schema import Explanation

_JSON, _PNG = "application/json", "image/png"


def router(desk: Desk) -> APIRouter:
    """Return the route.

    Args:
        desk: Who answers.
    """
    routes = APIRouter(tags=["answers"], route_class=Direct)
    service = desk.service

    @routes.post(
        "/v1/models/{name}/explain",
        summary="Classify an image and show where the model looked",
        responses=answers(Explanation, 400, 404, 406, 413, 415, 422, 503, 504, png=True),
        openapi_extra=images_in(several=False, fields=WISHES),
        response_model=None,
    )
    async def explain(name: ModelName, request: Request) -> Response:
        """Classify an image and show where the model looked.

        With `Accept: image/png` the answer is the image with the map of the class over it; the
        headers `X-Kdray-Class`, `X-Kdray-Method` and `X-Kdray-Model` say what it shows.
        """
        caller = caller_of(request, "explain")
        wanted = accepted(request.headers.get("accept", ""), (_JSON, _PNG))
        form = await read_form(request, 1, WISHES)
        started = perf_counter()
        raw, image = form.flag("raw"), form.images[0]
        wish = form.wish(desk.found(name).classes)
        model, said = await desk.explain(caller, name, image, wish)
        visit_of(request).model = (model.name, model.version)
        if wanted == _PNG:
            picture, headers = await asyncio.to_thread(bodies.laid_over, model, said)
            return Response(picture, media_type=_PNG, headers=headers)
        told = await asyncio.to_thread(
            bodies.explanation, service, model, image, wish, said, raw=raw
        )
        milliseconds = round((perf_counter() - started) * 1000, 2)
        answer = {"request_id": caller.request_id, **told, "milliseconds": milliseconds}
        return Response(bodies.encoded(answer), media_type=_JSON)

    return routes
