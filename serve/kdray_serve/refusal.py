"""Why a request is not answered: an HTTP status and words for the user."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from kdray.spec.service import Limits

TITLES = {413: "Image too large", 415: "Not an image", 422: "Cannot be processed", 503: "Busy"}


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


def too_large(limits: Limits) -> Refusal:
    """Return the refusal for an image file above the limit."""
    return Refusal(413, f"The image file is larger than {limits.max_upload_mb:g} MiB.")


def busy(what: str, seconds: int = 1) -> Refusal:
    """Return the refusal for a full queue.

    Args:
        what: What is queued for.
        seconds: After which the client may try again.
    """
    detail = f"Too many {what} are waiting. Try again in {seconds} s."
    return Refusal(503, detail, {"Retry-After": str(seconds)})
