"""What the user wants explained: methods with their settings, and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdray import parts
from kdray.errors import JobError
from kdray.spec.problem import nearest
from kdray.spec.strict import Part
from kdray.spec.yaml import scalar

#: Stands for the class that the model calls the image.
PREDICTED = "predicted"
#: Stands for every class of the model.
ALL = "all"


@dataclass(frozen=True)
class Method:
    """An explanation with all its settings.

    Args:
        name: As the user calls it: a part or a preset.
        part: The part.
        params: Its settings, defaults filled in.
        classwise: Whether the map of a class differs from that of another.
    """

    name: str
    part: str
    params: Mapping[str, Any]
    classwise: bool

    def facts(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "method": self.name,
            "part": self.part,
            "params": dict(self.params),
            "classwise": self.classwise,
        }


@dataclass(frozen=True)
class Wanted:
    """What every image is asked.

    Args:
        methods: The explanations.
        classes: Names of classes, or ``predicted``.
        scored: Whether the maps are scored.
        window: Centre and width of the values shown of DICOM images; None: the model's own.
    """

    methods: tuple[Method, ...]
    classes: tuple[str, ...]
    scored: bool = True
    window: tuple[float, float] | None = None


def methods_of(names: Sequence[str], settings: Sequence[str] = ()) -> tuple[Method, ...]:
    """Return the methods of the command line, each once, in its order.

    Args:
        names: Parts or presets.
        settings: ``name=value`` for all methods that have this setting, or ``method.name=value``.

    Raises:
        JobError: There is no such method or setting.
    """
    wanted = list(dict.fromkeys(names))
    fields = {name: _fields(name) for name in wanted}
    given: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for setting in settings:
        for name, key, value in _for_methods(setting, fields):
            given[name][key] = value
    return tuple(_method(name, given[name]) for name in wanted)


def classes_of(given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the classes to explain, each once: names and ``predicted``.

    Args:
        given: Names, ``all`` or ``predicted``.
        known: The model's classes.

    Raises:
        JobError: The model has no such class.
    """
    wanted: list[str] = []
    for name in given:
        if name in known or name == PREDICTED:
            wanted.append(name)
        elif name == ALL:
            wanted += known
        else:
            remedy = nearest(name, list(known), listed="Its classes")
            raise JobError(f"--class {name}", "the model knows no such class.", remedy)
    return tuple(dict.fromkeys(wanted))


def window_of(text: str | None) -> tuple[float, float] | None:
    """Return centre and width from ``CENTRE,WIDTH``.

    Raises:
        JobError: The text is no window.
    """
    if text is None:
        return None
    try:
        centre, width = (float(number) for number in text.split(","))
    except ValueError:
        width = 0.0
    if width < 1:
        raise JobError(f"--window {text}", "is no window.", "Write CENTRE,WIDTH, as 40,400.")
    return centre, width


def _fields(name: str) -> list[str]:
    return list(parts.settings("explain", Part(name=name)))


def _for_methods(setting: str, fields: Mapping[str, list[str]]) -> list[tuple[str, str, Any]]:
    where = f"--param {setting}"
    place, equals, text = setting.partition("=")
    if not equals:
        raise JobError(where, "is no setting.", "Write --param name=value.")
    method, dot, key = place.rpartition(".")
    if dot and method not in fields:
        problem = f"{method!r} is no method of this command."
        raise JobError(where, problem, nearest(method, list(fields), listed="Its methods"))
    names = [name for name in ([method] if dot else fields) if key in fields[name]]
    if not names:
        known = sorted({known for name in fields for known in fields[name]})
        who = method if dot else "none of the methods"
        problem = f"{who} has no setting {key!r}." if dot else f"{who} has a setting {key!r}."
        raise JobError(where, problem, nearest(key, known, listed="Their settings"))
    return [(name, key, scalar(text)) for name in names]


def _method(name: str, params: Mapping[str, Any]) -> Method:
    part = Part(name=name, params=dict(params))
    settings = parts.settings("explain", part)
    whole = parts.canonical("explain", part).name
    constants = parts.header("explain", whole).constants
    return Method(name, whole, settings, bool(constants.get("CLASSWISE", True)))
