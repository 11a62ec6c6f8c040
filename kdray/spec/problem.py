"""A finding about one value of a job, in words that say what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]

#: pydantic's words about Python types, said of YAML.
WORDS = {
    "model_type": "input should be a mapping of fields",
    "model_attributes_type": "input should be a mapping of fields",
    "dict_type": "input should be a mapping",
    "tuple_type": "input should be a list",
    "list_type": "input should be a list",
}


@dataclass(frozen=True)
class Problem:
    """One finding of a checker about the value at ``path``."""

    path: Path
    problem: str
    remedy: str = ""
    at_key: bool = False


def wording(error: ErrorDetails) -> tuple[str, str]:
    """Return what pydantic found wrong with a value, and the remedy (which may be empty)."""
    given = error["input"]
    message = WORDS.get(error["type"], error["msg"]).removeprefix("Value error, ")
    message = message.replace("Tuple", "List")
    if error["type"] == "value_error":
        return message, ""
    is_small = given is None or isinstance(given, str | int | float)
    shown = f", not {'null' if given is None else repr(given)}" if is_small else ""
    return f"{message[:1].lower()}{message[1:]}{shown}", _nearest_choice(error)


def nearest(name: str, names: Sequence[str], *, listed: str = "Valid here") -> str:
    """Return ``Did you mean ...?`` for the nearest of ``names``, or else all of them.

    Args:
        name: What was given.
        names: What is valid.
        listed: What to call the list; empty: do not list.
    """
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"{listed}: {', '.join(names) or 'none'}." if listed else ""


def _nearest_choice(error: ErrorDetails) -> str:
    if error["type"] != "literal_error":
        return ""
    expected = str(error.get("ctx", {}).get("expected", ""))
    choices = [item.strip("'") for item in expected.replace(" or ", ", ").split(", ")]
    return nearest(str(error["input"]), choices, listed="")
