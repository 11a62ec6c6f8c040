"""Parts and their settings as facts, read without importing the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from kdray import parts
from kdray.cli._output import console, print_table

LIMITS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "enum": "one of",
    "minItems": "at least items:",
    "maxItems": "at most items:",
}


def facts(folder: str, name: str) -> dict[str, Any]:
    """Return what a part says of itself: name, title, description and settings.

    Raises:
        JobError: There is no such part.
    """
    header = parts.header(folder, name)
    return {
        "name": name,
        "title": header.title,
        "description": header.doc.strip(),
        "settings": settings(header),
    }


def settings(header: parts.Header) -> list[dict[str, Any]]:
    """Return a part's settings: name, type, default, required, limits, search, description."""
    schema = header.Params.model_json_schema()
    fields = header.Params.model_fields
    return [
        {
            "name": name,
            "type": _type(field),
            "default": field.get("default", _made(fields[name])),
            "required": fields[name].is_required(),
            "limits": {key: field[key] for key in LIMITS if key in field},
            "search": field.get("search"),
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def print_parts(title: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Print parts with their settings in a table."""
    rows = [
        (
            part["name"],
            part["title"],
            "\n".join(_short(item) for item in part["settings"]) or "none",
        )
        for part in found
    ]
    print_table(title, ("name", "what it is", "settings and defaults"), rows)


def print_part(part: Mapping[str, Any]) -> None:
    """Print all that a part says of itself."""
    console.print(part["description"], markup=False, highlight=False)
    columns = ("setting", "type", "default", "limits", "search", "meaning")
    rows = [
        (
            item["name"],
            item["type"],
            "required" if item["required"] else item["default"],
            _limits(item["limits"]),
            _space(item["search"]),
            item["description"],
        )
        for item in part["settings"]
    ]
    print_table("Settings", columns, rows or [("none", "", "", "", "", "")])


def _made(field: FieldInfo) -> Any:
    """Return the default that a factory makes; None for a required setting."""
    return field.default_factory() if field.default_factory else None  # type: ignore[call-arg]


def _type(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " | ".join(_type(choice) for choice in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("type", "any"))


def _short(item: Mapping[str, Any]) -> str:
    return (
        f"{item['name']} (required)" if item["required"] else f"{item['name']} {item['default']}"
    )


def _limits(limits: Mapping[str, Any]) -> str:
    shown = {
        key: ", ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in limits.items()
    }
    return ", ".join(f"{LIMITS[key]} {value}" for key, value in shown.items())


def _space(space: Mapping[str, Any] | None) -> str:
    if not space:
        return ""
    if "choices" in space:
        return ", ".join(str(choice) for choice in space["choices"])
    return f"{space['min']} .. {space['max']}{' (log)' if space.get('log') else ''}"
