"""What the OpenAPI document says of requests and refusals, which FastAPI cannot see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from kdray_serve.http.gate import role_of
from kdray_serve.refusal import MEDIA_TYPE, Refusal, is_of_protocol
from kdray_serve.schema import Problem

_IMAGE_FILE = {
    "type": "string",
    "format": "binary",
    "description": "An image file: PNG, JPEG, TIFF, BMP, WebP, GIF or DICOM.",
}
_RAW_TYPES = (
    "image/png",
    "image/jpeg",
    "image/tiff",
    "image/bmp",
    "image/webp",
    "application/dicom",
    "application/octet-stream",
)
#: How refusals look where an inference protocol is spoken.
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_FIELDS: dict[str, dict[str, Any]] = {
    "method": {
        "type": "string",
        "description": "One of the model's `explanations`; default: the first.",
    },
    "class": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Classes to explain, or `all`; default: the predicted one.",
    },
    "against": {
        "type": "string",
        "description": "Whom to compare with: `teacher`, `name` or `name@version`.",
    },
    "deadline_ms": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 86_400_000,
        "description": "Time that the answer should take: a faster method may take the place of "
        "the wanted one, and the answer says so.",
    },
    "raw": {
        "type": "boolean",
        "description": "Whether the numbers of the maps are wanted too.",
    },
}


def images_in(*, several: bool, fields: Iterable[str] = ()) -> dict[str, Any]:
    """Return ``openapi_extra`` of a route that takes images.

    Args:
        several: Whether it takes more than one.
        fields: Names of the fields that it takes beside them.
    """
    wanted = {name: _FIELDS[name] for name in fields}
    form_image = {"type": "array", "items": _IMAGE_FILE, "minItems": 1} if several else _IMAGE_FILE
    base64 = {"type": "string", "format": "byte", "description": "An image file in base64."}
    json_images = {"type": "array", "items": base64, "minItems": 1}
    if not several:
        json_images["maxItems"] = 1
    content: dict[str, Any] = {
        "multipart/form-data": {
            "schema": _object({"image": form_image, **wanted}, "image"),
            "encoding": {"class": {"style": "form", "explode": True}} if wanted else {},
        },
        "application/json": {"schema": _object({"images": json_images, **wanted}, "images")},
    }
    content.update({kind: {"schema": _IMAGE_FILE} for kind in _RAW_TYPES})
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": _plain(schema)}
        | {"description": schema["description"]}
        for name, schema in wanted.items()
    ]
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    return {**extra, "parameters": parameters} if parameters else extra


def answers(model: Any, *statuses: int, **contents: Any) -> dict[int | str, dict[str, Any]]:
    """Return ``responses`` of a route.

    Args:
        model: The schema of its answer, 200; None: ``contents`` are all.
        statuses: Of its refusals, beside those that every route has.
        contents: ``png``: whether a picture is an answer too.
    """
    ok: dict[str, Any] = {"description": "The answer."}
    if model is not None:
        ok["model"] = model
    if contents.get("png"):
        ok["content"] = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    return {200: ok, **refusals(*statuses)}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of refusals."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": Refusal(status, "").title, "content": content}
        for status in statuses
    }


def add_document(app: FastAPI, *, is_open: bool) -> None:
    """Let an application's OpenAPI document say who may ask, and how it refuses.

    Args:
        app: The application, with all its routes.
        is_open: Whether it asks for no keys.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(app, is_open)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def name_of(route: APIRoute) -> str:
    """Return the operation id of a route: its function's name, for generated clients."""
    return route.name


def _completed(app: FastAPI, is_open: bool) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    if not is_open:
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation, is_open)
    return document


def _complete(path: str, operation: dict[str, Any], is_open: bool) -> None:
    """Add to an operation what the gate does for all of them."""
    needs_key = role_of(path) is not None
    statuses = [400, 408, 413] if "requestBody" in operation else []
    statuses += [403] if needs_key else []
    statuses += [401, 429] if needs_key and not is_open else []
    for status, response in refusals(*statuses).items():
        if is_of_protocol(path):
            response["content"] = {"application/json": {"schema": _ERROR}}
        operation["responses"].setdefault(str(status), response)
    if needs_key and not is_open:
        operation["security"] = [{"bearer": []}, {"header": []}]


def _object(properties: dict[str, Any], required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [required],
        "additionalProperties": False,
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "description"}
