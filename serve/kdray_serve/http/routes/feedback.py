"""``POST /v1/feedback``: the right class of an image that was answered."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from kdray_serve.desk import Desk
from kdray_serve.http.documented import answers
from kdray_serve.http.visit import caller_of
from kdray_serve.records.feedback import Given, Said, checked
from kdray_serve.records.observed import Observed
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Answer


class Label(Answer):
    """The right class of an image."""

    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
    """Of the answer."""
    label: Annotated[str, Field(min_length=1, max_length=200)]
    """One of the model's classes."""
    model: Annotated[str, Field(max_length=200)] | None = None
    """`name@version` of the answer; needed only where the service has forgotten it."""
    image_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Which image, as in the answer; needed only where the request had several."""
    comment: Annotated[str, Field(max_length=2000)] | None = None
    """In your words. It is stored: nothing that names a patient belongs here."""


class Noted(Answer):
    """Feedback that will be written down."""

    status: Literal["noted"] = "noted"
    known: bool
    """Whether the service knew the model and has checked the label against its classes."""


def router(desk: Desk, observed: Observed) -> APIRouter:
    """Return the route.

    Args:
        desk: Who knows the models' classes.
        observed: Who remembers answers and writes feedback.
    """
    routes = APIRouter(tags=["answers"])

    @routes.post(
        "/v1/feedback",
        summary="Tell the right class",
        status_code=202,
        responses={
            202: {"description": "It will be written down.", "model": Noted},
            **{
                status: text
                for status, text in answers(None, 400, 413, 422, 503).items()
                if status != 200
            },
        },
    )
    async def feedback(label: Label, request: Request) -> Noted:
        """Tell the right class of an image that was answered."""
        caller = caller_of(request)
        said = _said(desk, observed, label)
        given = Given(
            label.request_id, _text(label.label), _text(label.comment), label.image_sha256 or ""
        )
        row = checked(given, caller, said)
        observed.feedback.add(row)
        is_right = row.predicted == row.label if row.predicted else None
        observed.metrics.feedback(f"{row.model}@{row.version}" if row.known else "", is_right)
        return Noted(known=row.known)

    return routes


def _said(desk: Desk, observed: Observed, label: Label) -> Said | None:
    """Return what was answered, or else at least the classes of the model that is named."""
    said = observed.recent.get(label.request_id)
    if said is None:
        return _classes_of(desk, label.model) if label.model else None
    answered = f"{said.key[0]}@{said.key[1]}"
    if label.model not in (None, "", said.key[0], answered):
        raise Refusal(422, f"The request {label.request_id} was answered by {answered}.")
    return said


def _classes_of(desk: Desk, model: str) -> Said | None:
    try:
        found = desk.found(model)
    except Refusal:
        return None  # an answer of a version that is not served any more
    return Said((found.name, found.version), tuple(found.classes), {})


def _text(text: str | None) -> str:
    """Return text without halves of surrogate pairs, which no file can hold."""
    return (text or "").encode("utf-8", "replace").decode()
