"""``POST /v1/models/{name}:predict`` and ``:explain``: version 1 of KServe's protocol.

KServe's explainers ask a predictor by these two. Its ``GET /v1/models/{name}`` (``name`` and
``ready``) is our own description of a model here, which has ``name`` but not ``ready``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from kdray.registry.card import NOTICE
from kdray_serve.desk import Desk
from kdray_serve.http import bodies
from kdray_serve.http.protocols import WISHES, errors, wish_of
from kdray_serve.http.tensors import file_of, pixels_of, read_json
from kdray_serve.http.uploads import read_whole
from kdray_serve.http.visit import caller_of, visit_of
from kdray_serve.refusal import Refusal
from kdray_serve.work import Upload

ModelName = Annotated[str, Path(description="`name`, `name@version` or `name@alias`.")]
_INSTANCE: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"b64": {"type": "string", "format": "byte"}},
            "required": ["b64"],
        },
        {"type": "array", "items": {"type": "array"}, "minItems": 1},
    ],
    "description": "An image file in base64, or its values, 0 to 255: [H][W] or [H][W][3].",
}
_PARAMETERS = {"type": "object", "properties": {"method": {"type": "string"}, **WISHES}}


def router(desk: Desk) -> APIRouter:
    """Return the routes.

    Args:
        desk: Who answers.
    """
    routes = APIRouter(tags=["kserve v1"])

    @routes.post("/v1/models/{name}:predict", summary="Predict (KServe V1)", **_documented())
    async def predict_instances(name: ModelName, request: Request) -> Response:
        """Classify instances."""
        caller = caller_of(request)
        _, images = await _read(request, desk.service.limits.max_images)
        model, said = await desk.predict(caller, name, images)
        visit_of(request).model = (model.name, model.version)
        predictions = [
            bodies.prediction(desk.service, model.classes, image, one)
            for image, one in zip(images, said, strict=True)
        ]
        told = _model(model.name, model.version, caller.request_id)
        return _answer({"predictions": predictions, **told})

    @routes.post(
        "/v1/models/{name}:explain",
        summary="Explain (KServe V1)",
        **_documented({"parameters": _PARAMETERS}),
    )
    async def explain_instances(name: ModelName, request: Request) -> Response:
        """Classify instances and show where the model looked."""
        caller = caller_of(request, "explain")
        parameters, images = await _read(request, desk.service.limits.max_images)
        wish = wish_of(parameters, "method", desk.found(name).classes)
        explanations = []
        for image in images:
            model, said = await desk.explain(caller, name, image, wish)
            name = f"{model.name}@{model.version}"  # one version answers the whole request
            told = bodies.explanation(desk.service, model, image, wish, said, raw=True)
            explanations.append(told)
        visit_of(request).model = (model.name, model.version)
        told = _model(model.name, model.version, caller.request_id)
        return _answer({"explanations": explanations, **told})

    return routes


def _documented(properties: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the OpenAPI document says of a route that takes instances."""
    instances = {"type": "array", "items": _INSTANCE, "minItems": 1}
    schema = {
        "type": "object",
        "properties": {"instances": instances, **(properties or {})},
        "required": ["instances"],
    }
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {
        "responses": errors(400, 401, 403, 404, 413, 415, 422, 429, 503, 504),
        "openapi_extra": {"requestBody": body},
        "response_model": None,
    }


async def _read(request: Request, most: int) -> tuple[dict[str, Any], list[Upload]]:
    """Return the parameters and the images of a request."""
    body = await read_whole(request)
    return await asyncio.to_thread(_parsed, body, most)


def _parsed(body: bytes, most: int) -> tuple[dict[str, Any], list[Upload]]:
    tree = read_json(body)
    instances, parameters = tree.get("instances"), tree.get("parameters", {})
    if not isinstance(instances, list) or not instances:
        raise Refusal(400, 'The request needs a list: {"instances": [{"b64": "<base64>"}]}.')
    if len(instances) > most:
        raise Refusal(400, f"There are {len(instances)} instances; at most {most} can be sent.")
    if not isinstance(parameters, dict):
        raise Refusal(400, "`parameters` must be an object.")
    return parameters, _images(instances)


def _images(instances: Sequence[Any]) -> list[Upload]:
    return [_image(one, f"Instance {place}") for place, one in enumerate(instances, start=1)]


def _image(instance: Any, what: str) -> Upload:
    if isinstance(instance, dict):
        inner = instance.get("image", instance)
        return Upload(file_of(inner.get("b64") if isinstance(inner, dict) else inner, what))
    pixels = pixels_of(instance, what)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] != 3):
        detail = f"{what} has the shape {list(pixels.shape)}; send [H, W] or [H, W, 3]."
        raise Refusal(400, detail)
    return Upload(pixels)


def _model(name: str, version: int, request_id: str) -> dict[str, Any]:
    return {
        "model_name": name,
        "model_version": str(version),
        "request_id": request_id,
        "notice": NOTICE,
    }


def _answer(answer: dict[str, Any]) -> Response:
    return Response(bodies.encoded(answer), media_type="application/json")
