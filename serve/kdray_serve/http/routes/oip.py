"""``/v2/...``: the Open Inference Protocol over REST, with explanations.

The protocol knows no explanations. It lets servers add parameters and endpoints that ``GET /v2``
lists as extensions; kdray adds both: the parameter ``explain`` of an inference, and ``/explain``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from kdray import __version__
from kdray.registry.card import NOTICE
from kdray_serve.desk import Desk
from kdray_serve.http.outputs import explained_outputs, predicted_outputs, tensors_of, told
from kdray_serve.http.protocols import BODY, errors, wish_of
from kdray_serve.http.tensors import Asked, Output, read_request, write_response
from kdray_serve.http.uploads import read_whole
from kdray_serve.http.visit import caller_of, visit_of
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Details
from kdray_serve.work import Caller, Explained, Wish

#: Of the server, as ``GET /v2`` lists them: Triton's, and two of our own.
EXTENSIONS = ("binary_tensor_data", "kdray_explain_parameters", "kdray_explain")
ModelName = Annotated[str, Path(description="Name of a model, see `/v1/models`.")]
VersionName = Annotated[str, Path(description="A version number, or an alias.")]
#: Bodies above are read by a thread, so that other requests go on meanwhile.
_LARGE = 256 * 1024


def router(desk: Desk) -> APIRouter:
    """Return the routes.

    Args:
        desk: Who answers.
    """
    routes = APIRouter(prefix="/v2", tags=["open inference protocol"])
    _add_health(routes, desk)
    _add_metadata(routes, desk)
    _add_inference(routes, desk)
    return routes


def _add_health(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/health/live", summary="Is the server alive?")
    async def server_live() -> dict[str, bool]:
        """Tell that the process answers."""
        return {"live": True}

    @routes.get("/health/ready", summary="Are the models ready?", responses=errors(503))
    async def server_ready() -> dict[str, bool]:
        """Tell whether inferences would be answered now."""
        await _ready(desk)
        return {"live": True, "ready": True}


def _add_metadata(routes: APIRouter, desk: Desk) -> None:
    @routes.get("", summary="Describe the server", responses=errors(401, 403, 429))
    async def server_metadata() -> dict[str, Any]:
        """Tell the server's name, version and extensions of the protocol."""
        return {"name": "kdray", "version": __version__, "extensions": list(EXTENSIONS)}

    documented = errors(401, 403, 404, 429)

    @routes.get("/models/{name}", summary="Describe a model", responses=documented)
    async def model_metadata(name: ModelName) -> dict[str, Any]:
        """Tell a model's versions and tensors."""
        return _metadata(desk, name)

    @routes.get(
        "/models/{name}/versions/{version}", summary="Describe a version", responses=documented
    )
    async def version_metadata(name: ModelName, version: VersionName) -> dict[str, Any]:
        """Tell a version's tensors."""
        return _metadata(desk, f"{name}@{version}")

    documented = errors(401, 403, 404, 429, 503)

    @routes.get("/models/{name}/ready", summary="Is a model ready?", responses=documented)
    async def model_ready(name: ModelName) -> dict[str, Any]:
        """Tell whether a model would answer now."""
        return await _model_ready(desk, name)

    @routes.get(
        "/models/{name}/versions/{version}/ready",
        summary="Is a version ready?",
        responses=documented,
    )
    async def version_ready(name: ModelName, version: VersionName) -> dict[str, Any]:
        """Tell whether a version would answer now."""
        return await _model_ready(desk, f"{name}@{version}")


def _add_inference(routes: APIRouter, desk: Desk) -> None:
    documented: dict[str, Any] = {
        "responses": errors(400, 401, 403, 404, 413, 415, 422, 429, 503, 504),
        "openapi_extra": BODY,
        "response_model": None,
    }

    @routes.post("/models/{name}/infer", summary="Infer", **documented)
    async def infer(name: ModelName, request: Request) -> Response:
        """Classify images; with the parameter `explain`, also show where the model looked."""
        return await _inferred(desk, name, request, explain=False)

    @routes.post("/models/{name}/versions/{version}/infer", summary="Infer", **documented)
    async def infer_version(name: ModelName, version: VersionName, request: Request) -> Response:
        """Classify images by one version."""
        return await _inferred(desk, f"{name}@{version}", request, explain=False)

    @routes.post("/models/{name}/explain", summary="Infer and explain", **documented)
    async def explain_tensors(name: ModelName, request: Request) -> Response:
        """Classify images and show where the model looked (an extension of the protocol)."""
        return await _inferred(desk, name, request, explain=True)

    @routes.post(
        "/models/{name}/versions/{version}/explain", summary="Infer and explain", **documented
    )
    async def explain_version(name: ModelName, version: VersionName, request: Request) -> Response:
        """Classify images by one version and show where it looked."""
        return await _inferred(desk, f"{name}@{version}", request, explain=True)


async def _inferred(desk: Desk, name: str, request: Request, *, explain: bool) -> Response:
    caller = caller_of(request)
    body = await read_whole(request)
    length = request.headers.get("inference-header-content-length")
    most = desk.service.limits.max_images
    asked = (
        read_request(body, length, most)
        if len(body) < _LARGE
        else await asyncio.to_thread(read_request, body, length, most)
    )
    if explain or asked.parameters.get("explain") not in (None, False):
        model, outputs, parameters = await _explained(desk, name, request, asked)
    else:
        model, said = await desk.predict(caller, name, asked.images)
        outputs, parameters = predicted_outputs(model.classes, said), {}
    visit_of(request).model = (model.name, model.version)
    facts = {
        "model_name": model.name,
        "model_version": str(model.version),
        "id": asked.id or caller.request_id,
        "parameters": {**parameters, "request_id": caller.request_id, "notice": NOTICE},
    }
    content, headers = await asyncio.to_thread(write_response, facts, outputs, asked)
    return Response(content, headers=headers)


async def _explained(
    desk: Desk, name: str, request: Request, asked: Asked
) -> tuple[Details, list[Output], dict[str, Any]]:
    """Return which version explained, the tensors, and the parameters that tell how."""
    caller = caller_of(request, "explain")
    wish = wish_of(asked.parameters, "explain", desk.found(name).classes)
    model, said = await _explanations(desk, caller, name, asked, wish)
    return model, explained_outputs(model.classes, said), told(said)


async def _explanations(
    desk: Desk, caller: Caller, name: str, asked: Asked, wish: Wish
) -> tuple[Details, Sequence[Explained]]:
    """Explain one image after the other, all by the version that explains the first."""
    first, *others = asked.images
    model, explained = await desk.explain(caller, name, first, wish)
    said = [explained]
    for image in others:
        _, explained = await desk.explain(caller, f"{model.name}@{model.version}", image, wish)
        said.append(explained)
    return model, said


def _metadata(desk: Desk, name: str) -> dict[str, Any]:
    model = desk.found(name)
    versions = {model.version, *(one.version for one in desk.models() if one.name == model.name)}
    return {
        "name": model.name,
        "versions": [str(version) for version in sorted(versions)],
        "platform": "kdray_package",
        **tensors_of(model),
    }


async def _model_ready(desk: Desk, name: str) -> dict[str, Any]:
    model = desk.found(name)
    await _ready(desk)
    return {"name": model.name, "ready": True}


async def _ready(desk: Desk) -> None:
    if not await desk.ready():
        raise Refusal(503, "The models are not all loaded yet.", {"Retry-After": "5"})
