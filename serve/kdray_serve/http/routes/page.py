"""The page and the documentation of the API: files, without anything from the internet."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from kdray_serve.http.headers import PAGE_POLICY

PAGE = Path(__file__).parents[2] / "page"
#: Where FastAPIOffline puts the files of the documentation.
_ASSETS = "static-offline-docs"
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
#: A browser asks each time whether its copy is still right.
_FRESH = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}


class _Files(StaticFiles):
    """Files with the headers of the page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_FRESH)
        return response


def add_page(app: FastAPI) -> None:
    """Add the page, its files and the documentation to an application."""
    app.mount("/page", _Files(directory=PAGE), name="page")
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=_FRESH)

    @routes.get("/favicon.ico")
    async def icon() -> FileResponse:
        return FileResponse(PAGE / "icon.svg", headers=_FRESH)

    @routes.get("/docs")
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        html = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title} - API",
            swagger_js_url=f"{root}/{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}/page/icon.svg",
            swagger_ui_parameters=app.swagger_ui_parameters,
        )
        text = bytes(html.body).decode()
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _docs_policy(text)}
        return HTMLResponse(text, headers=headers)

    app.include_router(routes)


def _docs_policy(html: str) -> str:
    """Return the page's policy, and beside it just the script that the documentation holds.

    Its styles are set by its own scripts, in the document.
    """
    hashes = [hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(html)]
    scripts = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in hashes)
    policy = PAGE_POLICY.replace("script-src 'self'", f"script-src 'self' {scripts}")
    return policy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
