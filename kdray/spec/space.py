"""Search spaces: a range or a list of choices for one hyperparameter."""

from __future__ import annotations

from pydantic import Field, model_validator

from kdray.spec.strict import Many, Strict


class Space(Strict):
    """Where a search may look: either `min` and `max`, or `choices`."""

    min: float | None = None
    """Smallest value (inclusive)."""
    max: float | None = None
    """Largest value (inclusive)."""
    log: bool = False
    """Search the logarithm evenly; needs min > 0."""
    step: float | None = Field(None, gt=0)
    """Distance between neighbouring values; excludes log."""
    choices: Many[float | int | bool | str] = ()
    """The allowed values, instead of a range."""

    @model_validator(mode="after")
    def _either_or(self) -> Space:
        if self.choices:
            if self.min is not None or self.max is not None:
                raise ValueError("give either choices, or min and max, not both")
            return self
        if self.min is None or self.max is None:
            raise ValueError("give both min and max, or choices")
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        if self.log and (self.min <= 0 or self.step is not None):
            raise ValueError("log needs min > 0 and no step")
        return self
