"""Routes that take the request as it is, without what FastAPI does for each parameter.

FastAPI documents them like any other. What it would do on each request (collect parameters, look
for dependencies) takes as long as all the rest of the way to a small model.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class Direct(APIRoute):
    """A route whose parameters are words of the path, and the request.

    Its function is called with ``request`` and each parameter of its path by name, as text, and
    returns the response.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = self.endpoint

        async def handle(request: Request) -> Response:
            response: Response = await answer(request=request, **request.path_params)
            return response

        return handle
