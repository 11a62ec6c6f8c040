"""The HTTP application: API, documentation and page, the same wherever the models are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kdray import __version__
from kdray.registry.card import NOTICE
from kdray.spec.keys import ApiKey
from kdray_serve.desk import Desk
from kdray_serve.http.documented import add_document, name_of
from kdray_serve.http.gate import Gate
from kdray_serve.http.keys import guard_of
from kdray_serve.http.routes import explain, health, kserve, models, oip, predict, preview, status
from kdray_serve.http.routes.page import add_page
from kdray_serve.http.visit import Listener
from kdray_serve.refusal import Refusal

_DESCRIPTION = f"""Classifies images and shows where the model looked.

{NOTICE} Errors are `application/problem+json` with a `detail` in plain words; those of
`/v2` and of `:predict` and `:explain` are in the form of these protocols. Every answer has the
header `X-Request-ID`, taken from the request if it has a short one."""
_TAGS = ("answers", "models", "service", "health", "open inference protocol", "kserve v1")
#: Makes the routes of a group.
Routes = Callable[[Desk], APIRouter]
ROUTES: tuple[Routes, ...] = (
    predict.router,
    explain.router,
    preview.router,
    models.router,
    status.router,
    health.router,
    oip.router,
    kserve.router,
)


def create_app(
    desk: Desk,
    *,
    keys: Sequence[ApiKey] = (),
    listeners: Iterable[Listener] = (),
    routers: Iterable[APIRouter] = (),
) -> FastAPI:
    """Return the application.

    Args:
        desk: Who answers.
        keys: The keys made at the start, where the service's ``auth`` is null.
        listeners: Who is told of each request that is over.
        routers: Routes beside those of ``ROUTES``, which need more than the desk.

    Raises:
        JobError: The keys cannot be read, or there are none.
    """
    service = desk.service
    app = FastAPIOffline(
        docs_url=None,
        redoc_url=None,
        title="kdray",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=[{"name": tag} for tag in _TAGS],
        redirect_slashes=False,
        generate_unique_id_function=name_of,
        swagger_ui_parameters={"validatorUrl": None, "defaultModelsExpandDepth": 0},
    )
    for make in ROUTES:
        app.include_router(make(desk))
    for router in routers:
        app.include_router(router)
    add_page(app)
    add_document(app, is_open=service.auth == "none")
    _add_errors(app)
    app.add_middleware(
        Gate,
        guard=guard_of(service, keys),
        limits=service.limits,
        origins=service.cors,
        listeners=tuple(listeners),
    )
    return app


def _add_errors(app: FastAPI) -> None:
    """Let the gate answer all that is refused, in one form."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        words = [
            f"{'.'.join(str(step) for step in item['loc'][1:]) or 'body'}: {item['msg']}"
            for item in error.errors()
        ]
        raise Refusal(422, f"The request is not as documented: {'; '.join(words)}.")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405 and request.method == "OPTIONS" and "Allow" in headers:
            return Response(status_code=204, headers={"Allow": f"{headers['Allow']}, OPTIONS"})
        raise Refusal(error.status_code, _detail(error, request), headers)


def _detail(error: HTTPException, request: Request) -> str:
    if error.status_code == 404:
        return "There is nothing under this address; /docs lists what there is."
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return f"This address does not take {request.method}; it takes {allowed}."
    return str(error.detail)
