"""The base of every settings model: unknown fields are errors, values never change."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Item = TypeVar("Item")

#: A list in YAML, a tuple in Python; the items stay strict.
Many = Annotated[tuple[Item, ...], Field(strict=False)]
#: What jobs, models and aliases may be called.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]


class Strict(BaseModel):
    """Settings from a user: a typo in the file must be reported, never ignored."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def named(value: Any) -> Any:
    """Return a part in full: a name becomes a mapping; ``timm/resnet18`` gives its ``arch``."""
    if not isinstance(value, str):
        return value
    name, slash, arch = value.partition("/")
    return {"name": name, "params": {"arch": arch}} if slash else {"name": name}


class Part(Strict):
    """A part by its name: the file of that name in its folder, and that file's settings."""

    name: str = Field(examples=["kd"])
    """Name of the part: see `kdray models`, `methods`, `explainers` and `data list`."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Settings of the part, checked against the part's own `Params`."""


#: A part in full, or shortened to its name (``kd``, or ``timm/resnet18`` for an architecture).
PartRef = Annotated[Part, BeforeValidator(named)]
