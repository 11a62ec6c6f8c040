"""The HTTP application: API, documentation and page, the same wherever the models are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from kdray import __version__
from kdray.registry.card import NOTICE
from kdray.spec.service import Limits
from kdray_serve.answers import Answers
from kdray_serve.body import BodyLimit
from kdray_serve.refusal import Refusal, too_large
from kdray_serve.schema import (
    Details,
    Explanation,
    Health,
    Models,
    Prediction,
    Problem,
    Summary,
)

PAGE = Path(__file__).parent / "page"
#: What the other fields and the boundaries of a multipart body may take, bytes.
_FORM_OVERHEAD = 64 * 1024
_DESCRIPTION = f"""Classifies an image and shows where the model looked.

{NOTICE} Errors are `application/problem+json` with a `detail` in plain words."""

ModelName = Annotated[str, InPath(description="`name` or `name@version`, see `/v1/models`.")]
ImageFile = Annotated[
    UploadFile, File(description="An image file: PNG, JPEG, TIFF, BMP or WebP, 8 bits a channel.")
]
MethodName = Annotated[
    str | None, Form(description="One of the model's `explanations`; default: the first.")
]
ClassName = Annotated[
    str | None, Form(alias="class", description="The class to explain; default: the predicted.")
]


def create_app(models: Sequence[Details], answers: Answers, limits: Limits) -> FastAPI:
    """Return the application.

    Args:
        models: What is served; the first version of a name answers to the name alone.
        answers: Who answers.
        limits: What one request may ask for.
    """
    app = FastAPIOffline(
        title="kdray",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=[{"name": "models"}, {"name": "answers"}, {"name": "health"}],
        redoc_url=None,
        favicon_url="/page/icon.svg",
        swagger_ui_parameters={"validatorUrl": None, "defaultModelsExpandDepth": 0},
    )
    _add_errors(app, limits)
    _add_facts(app, models, answers)
    _add_models(app, models, answers)
    _add_page(app)
    return app


def _add_page(app: FastAPI) -> None:
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")


def _add_facts(app: FastAPI, models: Sequence[Details], answers: Answers) -> None:
    @app.get("/v1/models", summary="List the models", tags=["models"])
    async def list_models() -> Models:
        """List the models that are served."""
        fields = set(Summary.model_fields)
        return Models(models=[Summary(**model.model_dump(include=fields)) for model in models])

    @app.get(
        "/v1/models/{name}", summary="Show a model", tags=["models"], responses=_refusals(404)
    )
    async def show_model(name: ModelName) -> Details:
        """Show a model: classes, input, scores, lineage and model card."""
        return _found(models, name)

    @app.get("/healthz", summary="Is the process alive?", tags=["health"])
    async def healthz() -> Health:
        """Tell that the process answers."""
        return Health(status="ok")

    @app.get(
        "/readyz", summary="Are the models loaded?", tags=["health"], responses=_refusals(503)
    )
    async def readyz() -> Health:
        """Tell whether predictions and explanations would be answered now."""
        if not await answers.ready():
            raise Refusal(503, "The models are not all loaded yet.", {"Retry-After": "5"})
        return Health(status="ready")


def _add_models(app: FastAPI, models: Sequence[Details], answers: Answers) -> None:
    refusals = _refusals(404, 413, 415, 422, 503)

    @app.post(
        "/v1/models/{name}/predict",
        summary="Classify an image",
        tags=["answers"],
        responses=refusals,
    )
    async def predict(name: ModelName, image: ImageFile) -> Prediction:
        """Classify an image."""
        model = _found(models, name)
        return await answers.predict((model.name, model.version), await image.read())

    @app.post(
        "/v1/models/{name}/explain",
        summary="Classify an image and show where the model looked",
        tags=["answers"],
        responses=refusals,
    )
    async def explain(
        name: ModelName, image: ImageFile, method: MethodName = None, class_: ClassName = None
    ) -> Explanation:
        """Classify an image and show where the model looked for one class."""
        model = _found(models, name)
        data = await image.read()
        # An empty form field is what a page sends for "no choice".
        return await answers.explain(
            (model.name, model.version), data, method or None, class_ or None
        )


def _found(models: Sequence[Details], name: str) -> Details:
    for model in models:
        if name in (model.name, f"{model.name}@{model.version}"):
            return model
    served = ", ".join(f"{model.name}@{model.version}" for model in models)
    raise Refusal(404, f"There is no model {name!r} here. There are: {served}.")


def _add_errors(app: FastAPI, limits: Limits) -> None:
    @app.exception_handler(Refusal)
    async def refused(_request: Request, error: Refusal) -> JSONResponse:
        return _problem(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        words = [
            f"{'.'.join(str(step) for step in item['loc'][1:]) or 'body'}: {item['msg']}"
            for item in error.errors()
        ]
        return _problem(Refusal(422, f"The request is not as documented: {'; '.join(words)}."))

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 413:
            return _problem(too_large(limits))
        return _problem(Refusal(error.status_code, str(error.detail), error.headers))

    size = int(limits.max_upload_mb * 2**20) + _FORM_OVERHEAD
    app.add_middleware(BodyLimit, limit=size, refuse=lambda: _problem(too_large(limits)))

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        # The server's log has the traceback; a client has no use for it.
        return _problem(Refusal(500, "The service failed to answer; its log says why."))


def _problem(refusal: Refusal) -> JSONResponse:
    content = Problem(title=refusal.title, status=refusal.status, detail=refusal.detail)
    return JSONResponse(
        content.model_dump(),
        refusal.status,
        headers=refusal.headers,
        media_type="application/problem+json",
    )


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of refusals."""
    schema = {"schema": Problem.model_json_schema()}
    return {
        status: {
            "description": Refusal(status, "").title,
            "content": {"application/problem+json": schema},
        }
        for status in statuses
    }
