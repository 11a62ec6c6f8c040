"""What every request passes: names it, lets it in or not, keeps its limits, counts it.

One ASGI middleware around the application, so that nothing inside can forget any of it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Collection, Iterable
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kdray.spec.service import Limits
from kdray_serve.http.headers import Header, allowed_origin, complete, preflight
from kdray_serve.http.keys import Guard, Headers
from kdray_serve.http.visit import GONE, Listener, Visit, need
from kdray_serve.refusal import Refusal, busy, rendered, too_large, too_slow
from kdray_serve.work import Caller

_LOG = logging.getLogger("kdray.http")
#: A client's own name for a request, if it is one that logs can hold.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
#: Open to everybody: nothing of it tells of models, images or answers.
OPEN = frozenset(
    {
        "/",
        "/docs",
        "/openapi.json",
        "/favicon.ico",
        "/healthz",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
    }
)
_OPEN_FOLDERS = ("/page/", "/static-offline-docs/")
_ADMIN = frozenset({"/v1/status", "/v1/refresh", "/metrics"})
_EXPLAIN = ("/explain", ":explain")
#: A client that sends nothing more must not hold its place for ever.
_BODY_SECONDS = 120.0
#: Bodies of the largest size that are held at once; of smaller ones as many as take their room.
_MOST_BODIES = 16


def role_of(path: str) -> str | None:
    """Return the role that a path needs; None: none. What is not known here needs one."""
    if path in OPEN or path.startswith(_OPEN_FOLDERS):
        return None
    if path in _ADMIN:
        return "admin"
    return "explain" if path.endswith(_EXPLAIN) else "predict"


class Gate:
    """ASGI middleware: the way in and out of the application.

    Args:
        app: The application inside.
        guard: Who lets requests in.
        limits: Of which ``max_upload_mb`` is kept while a body arrives, for two minutes at most.
        origins: Origins whose pages may call the service.
        listeners: Who is told of each request that is over.
    """

    def __init__(
        self,
        app: ASGIApp,
        guard: Guard,
        limits: Limits,
        origins: Collection[str] = (),
        listeners: Iterable[Listener] = (),
    ) -> None:
        self._app = app
        self._guard = guard
        self._limits = limits
        self._most = int(limits.max_upload_mb * 2**20)
        self._held = 0  # bytes of the bodies of requests that are not over
        self._origins = frozenset(origins)
        self._listeners = tuple(listeners)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application inside do so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        visit = _visit(scope, headers)
        origin = allowed_origin(headers.get(b"origin"), self._origins)
        answer = _Answer(visit, send, origin)
        inner = {**scope, "kdray.visit": visit}
        if scope["method"] == "HEAD":
            inner["method"] = "GET"  # the answer without its body
        try:
            if _is_preflight(scope["method"], headers):
                await answer.plain(*preflight(origin is not None))
                return
            self._admit(scope, headers, visit)
            await self._app(inner, self._counted(headers, receive, visit), answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except Exception:
            _LOG.exception("request %s failed", visit.request_id)
            if answer.has_started:
                raise  # the server ends the connection, so that the client notices
            await answer.refuse(Refusal(500, "The service failed to answer; its log says why."))
        finally:
            self._held -= visit.received
            self._finish(visit, inner)

    def _admit(self, scope: Scope, headers: Headers, visit: Visit) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        role = role_of(path)
        if role is None:
            visit.caller = Caller("anybody", frozenset(), visit.request_id)
            return
        name, roles = self._guard.admit(headers, visit.address)
        visit.caller = Caller(name, roles, visit.request_id)
        need(visit.caller, role)

    def _counted(self, headers: Headers, receive: Receive, visit: Visit) -> Receive:
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._most:
            raise too_large(self._limits)

        deadline = asyncio.get_running_loop().time() + _BODY_SECONDS
        is_whole = False

        async def counted() -> Message:
            nonlocal is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else deadline):
                    message = await receive()
            except TimeoutError:
                raise too_slow(_BODY_SECONDS) from None
            is_whole = not message.get("more_body", False)
            size = len(message.get("body", b""))
            visit.received += size
            self._held += size
            if visit.received > self._most:
                raise too_large(self._limits)
            if self._held > _MOST_BODIES * self._most:
                raise busy("large requests")
            return message

        return counted

    def _finish(self, visit: Visit, scope: Scope) -> None:
        visit.seconds = perf_counter() - visit.started
        visit.route = getattr(scope.get("route"), "path", "")
        visit.status = visit.status or GONE
        for listener in self._listeners:
            try:
                listener.finished(visit)
            except Exception:  # one that fails must not take the answer with it
                _LOG.exception("request %s was answered, but not counted", visit.request_id)


class _Answer:
    """The answer on its way out."""

    def __init__(self, visit: Visit, send: Send, origin: bytes | None) -> None:
        self._visit, self._send, self._origin = visit, send, origin
        self._has_body = visit.method != "HEAD"
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            self._visit.status = message["status"]
            headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
            message["headers"] = complete(headers, self._visit.request_id, self._origin)
        elif message["type"] == "http.response.body":
            if not self._has_body:
                message = {**message, "body": b""}
            self._visit.sent += len(message.get("body", b""))
        await self._send(message)

    async def plain(self, status: int, headers: list[Header], body: bytes = b"") -> None:
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal) -> None:
        if self.has_started:
            return
        body, media_type = rendered(refusal, self._visit.path, self._visit.request_id)
        headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
        ]
        await self.plain(refusal.status, headers, body)


def _visit(scope: Scope, headers: Headers) -> Visit:
    given = headers.get(b"x-request-id", b"")
    is_sane = _REQUEST_ID.fullmatch(given) is not None
    client = scope.get("client")
    return Visit(
        request_id=given.decode() if is_sane else secrets.token_hex(16),
        method=scope["method"],
        path=scope["path"],
        address=client[0] if client else "",
    )


def _is_preflight(method: str, headers: Headers) -> bool:
    return method == "OPTIONS" and b"access-control-request-method" in headers
