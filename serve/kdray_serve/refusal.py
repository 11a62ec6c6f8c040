"""Why a request is not answered: an HTTP status and words for the user (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from kdray.spec.service import Limits

TITLES = {
    401: "Key needed",
    403: "Not allowed",
    413: "Too large",
    415: "Wrong type",
    422: "Cannot be processed",
    429: "Too many wrong keys",
    500: "Failed",
    503: "Busy",
    504: "Took too long",
}
MEDIA_TYPE = "application/problem+json"


class Refusal(Exception):
    """A request that cannot be answered.

    Args:
        status: HTTP status.
        detail: What was wrong with this request, and what would be right.
        headers: More HTTP headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    @property
    def title(self) -> str:
        """The kind of problem."""
        return TITLES.get(self.status) or HTTPStatus(self.status).phrase

    def body(self, request_id: str) -> bytes:
        """Return the body of the answer, ``application/problem+json``."""
        problem = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        # Words of the request may hold halves of surrogate pairs, which are no text.
        return json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")


def rendered(refusal: Refusal, path: str, request_id: str) -> tuple[bytes, str]:
    """Return the body and the media type of a refusal's answer.

    Args:
        refusal: Why the request is refused.
        path: Of the request: those of the inference protocols have errors of their own form.
        request_id: Names the request.
    """
    if is_of_protocol(path):
        error = json.dumps({"error": refusal.detail}, ensure_ascii=False)
        return error.encode("utf-8", "replace"), "application/json"
    return refusal.body(request_id), MEDIA_TYPE


def is_of_protocol(path: str) -> bool:
    """Return whether a path is one of the inference protocols (V2, or KServe's V1)."""
    return path == "/v2" or path.startswith("/v2/") or path.endswith((":predict", ":explain"))


def too_large(limits: Limits) -> Refusal:
    """Return the refusal for a request above the limit."""
    return Refusal(413, f"The request is larger than {limits.max_upload_mb:g} MiB.")


def too_slow(seconds: float) -> Refusal:
    """Return the refusal for a body that did not arrive in time."""
    return Refusal(408, f"The body did not arrive within {seconds:g} s.", {"Connection": "close"})


def busy(what: str, seconds: int = 1) -> Refusal:
    """Return the refusal for a full queue.

    Args:
        what: What is queued for.
        seconds: After which the client may try again.
    """
    detail = f"Too many {what} are waiting. Try again in {seconds} s."
    return Refusal(503, detail, {"Retry-After": str(seconds)})
