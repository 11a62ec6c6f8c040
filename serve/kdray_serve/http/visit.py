"""A request from its arrival to its answer, for logs and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from starlette.requests import Request

from kdray_serve.refusal import Refusal
from kdray_serve.work import Caller, Key

#: Status of a request whose client went away before it was answered; never sent.
GONE = 499


@dataclass(slots=True)
class Visit:
    """A request; the gate makes it, the routes add to it, the listeners read it at the end.

    Args:
        request_id: Names the request.
        method: ``GET``, ``POST``, ...
        path: As it came, without the query; for logs, never a label of metrics.
        address: Where it comes from; empty where that is unknown.
        caller: Who asks; None until that is known.
        route: The path of the route with its parameters unfilled; empty where there is none.
        model: Name and version of the model that answered; None where none did.
        status: HTTP status of the answer.
        received: Bytes of the body.
        sent: Bytes of the answer's body.
        started: ``perf_counter`` at the arrival.
        seconds: From the arrival to the end of the answer.
    """

    request_id: str
    method: str
    path: str
    address: str
    caller: Caller | None = None
    route: str = ""
    model: Key | None = None
    status: int = 0
    received: int = 0
    sent: int = 0
    started: float = field(default_factory=perf_counter)
    seconds: float = 0.0


class Listener(Protocol):
    """Is told of requests that are over, to count them or to write them down."""

    def finished(self, visit: Visit) -> None:
        """Take note of a request; called once for each, whatever became of it. Must be quick."""


def visit_of(request: Request) -> Visit:
    """Return the visit of a request."""
    visit: Visit = request.scope["kdray.visit"]
    return visit


def caller_of(request: Request, role: str = "predict") -> Caller:
    """Return who asks.

    Args:
        request: The request.
        role: What the caller must be allowed.

    Raises:
        Refusal: 403; the caller has not that role.
    """
    caller = visit_of(request).caller
    assert caller is not None, "the gate lets nobody else in"
    need(caller, role)
    return caller


def need(caller: Caller, role: str) -> None:
    """Raise a Refusal unless the caller has a role."""
    if role not in caller.roles:
        has = ", ".join(sorted(caller.roles)) or "none"
        detail = f"This needs the role {role!r}; the key {caller.name!r} has: {has}."
        raise Refusal(403, detail)
