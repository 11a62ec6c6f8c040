"""What the inference protocols of others share: wishes as parameters, errors, documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdray_serve.refusal import Refusal
from kdray_serve.work import Wish

_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "What was wrong."}},
    "required": ["error"],
}
#: Longer than anybody waits, milliseconds.
_LONGEST_MS = 86_400_000.0
#: Parameters of an explanation, beside its method.
WISHES: dict[str, dict[str, Any]] = {
    "class": {"type": "string"},
    "against": {"type": "string"},
    "deadline_ms": {"type": "number", "exclusiveMinimum": 0},
}
_BYTES = {"type": "string", "format": "binary"}
_TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "enum": ["image", "pixels"]},
        "datatype": {"type": "string", "enum": ["BYTES", "UINT8"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape"],
}
_REQUEST = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {
                "explain": {"type": "string"},
                **WISHES,
                "binary_data_output": {"type": "boolean"},
            },
        },
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["inputs"],
}
#: ``openapi_extra`` of an inference.
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _REQUEST},
            "application/octet-stream": {"schema": _BYTES},
        },
    }
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of refusals in the form of the inference protocols."""
    content = {"application/json": {"schema": _ERROR}}
    return {
        status: {"description": Refusal(status, "").title, "content": content}
        for status in statuses
    }


def wish_of(parameters: Mapping[str, Any], method: str, classes: Sequence[str]) -> Wish:
    """Return what parameters say of the wanted explanation.

    Args:
        parameters: ``class`` (a name, ``all``, or names with commas between), ``against``,
            ``deadline_ms`` and the method.
        method: Name of the parameter that holds the method.
        classes: The model's.

    Raises:
        Refusal: 400; one of them cannot be understood.
    """
    chosen = parameters.get(method)
    return Wish(
        method=None if chosen is True else _word({method: chosen}, method),
        classes=_classes(_word(parameters, "class"), classes),
        against=_word(parameters, "against"),
        deadline_ms=_milliseconds(parameters.get("deadline_ms")),
    )


def _word(parameters: Mapping[str, Any], name: str) -> str | None:
    value = parameters.get(name)
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        raise Refusal(400, f"The parameter {name!r} must be a string.")
    return value


def _classes(word: str | None, classes: Sequence[str]) -> tuple[str, ...]:
    if word is None:
        return ()
    if word in classes:
        return (word,)
    if word == "all":
        return tuple(classes)
    return tuple(dict.fromkeys(name.strip() for name in word.split(",")))


def _milliseconds(value: Any) -> float | None:
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value <= _LONGEST_MS
    ):
        raise Refusal(400, "The parameter 'deadline_ms' must be a number of milliseconds above 0.")
    return float(value)
