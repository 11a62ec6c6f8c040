"""``/v1/whoami``, ``/v1/status``, ``/v1/refresh``: of callers and of the service itself."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request

from kdray.spec.keys import ROLES, Role
from kdray_serve.desk import Desk
from kdray_serve.http.documented import answers
from kdray_serve.http.visit import caller_of
from kdray_serve.schema import Who


def router(desk: Desk) -> APIRouter:
    """Return the routes.

    Args:
        desk: Who knows how the service does.
    """
    routes = APIRouter(tags=["service"])

    @routes.get("/v1/whoami", summary="Who am I?", responses=answers(Who))
    async def whoami(request: Request) -> Who:
        """Tell whom the service takes the caller for, and what the caller may do."""
        caller = caller_of(request)
        roles = cast(list[Role], [role for role in ROLES if role in caller.roles])
        return Who(name=caller.name, roles=roles)

    @routes.get("/v1/status", summary="How does the service do?", responses=answers(None, 503))
    async def status(request: Request) -> dict[str, Any]:
        """Tell what is loaded, what waits, and how canary and shadow do."""
        caller_of(request, "admin")
        return await desk.status()

    @routes.post("/v1/refresh", summary="Look up the aliases", responses=answers(None, 503))
    async def refresh(request: Request) -> dict[str, Any]:
        """Look up the aliases now, and tell what changed."""
        caller_of(request, "admin")
        return await desk.refresh()

    return routes
