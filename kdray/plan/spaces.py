"""What a search of a method tries."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kdray import parts
from kdray.errors import JobError
from kdray.spec.experiment import Experiment, Method, Search
from kdray.spec.problem import wording
from kdray.spec.space import Space

#: Of so many settings drawn from the spaces of a method, it must take at least one.
_TRIES = 256


def check_searches(job: Experiment) -> None:
    """Check the search spaces of every method of a job.

    Raises:
        JobError: A method takes nothing of its spaces, or a grid has no end.
    """
    for method in job.methods:
        spaces_of(job.search, method)


def spaces_of(search: Search, method: Method) -> dict[str, Space]:
    """Return a method's search spaces: its own, or the job's instead, less what is fixed.

    Raises:
        JobError: The method takes nothing of what lies in them, or a grid would have no end.
    """
    if search.trials == 0:
        return {}
    own = {
        name: Space.model_validate(space)
        for name, space in parts.searchable(method.name, method.params).items()
        if name not in method.params
    }
    spaces = {**own, **method.search}
    if search.learning_rate is not None:
        spaces["learning_rate"] = search.learning_rate
    if search.sampler == "grid":
        _refuse_endless(method, spaces)
        if spaces and not combinations(method, spaces):
            raise _outside(method, {key: values_of(space)[0] for key, space in spaces.items()})
    else:
        _refuse_outside(method, spaces)
    return spaces


def num_trials(search: Search, method: Method, spaces: Mapping[str, Space]) -> int:
    """Return the trials of one arm on average: those asked for, or the combinations of a grid."""
    return len(combinations(method, spaces)) if search.sampler == "grid" else search.trials


def allows(method: Method, params: Mapping[str, Any]) -> bool:
    """Return whether a method takes the settings of a trial."""
    return _refusal(method, params) is None


def draw(spaces: Mapping[str, Space], numbers: random.Random) -> dict[str, Any]:
    """Return settings drawn evenly from each space."""
    return {key: _drawn(space, numbers) for key, space in spaces.items()}


def combinations(method: Method, spaces: Mapping[str, Space]) -> list[dict[str, Any]]:
    """Return every combination of values that a method takes, the last setting changing first."""
    rows = itertools.product(*(values_of(space) for space in spaces.values()))
    all_of_them = (dict(zip(spaces, row, strict=True)) for row in rows)
    return [params for params in all_of_them if allows(method, params)]


def values_of(space: Space) -> list[Any]:
    """Return the values of choices, or of a range with steps; none of a continuous range."""
    if space.choices:
        return list(space.choices)
    if space.step is None:
        return []
    low, step = _low(space), space.step
    count = math.floor((_high(space) - low) / step + 1e-9) + 1
    return [_plain(space, low + index * step) for index in range(count)]


def is_whole(space: Space) -> bool:
    """Return whether a range with steps holds whole numbers."""
    ends = (space.min, space.max, space.step)
    return all(end is not None and float(end).is_integer() for end in ends)


def _low(space: Space) -> float:
    return float(space.min or 0.0)


def _high(space: Space) -> float:
    return float(space.max or 0.0)


def _plain(space: Space, value: float) -> float | int:
    """Return a value without the last digits that steps leave behind: 0.3, not 0.30000000004."""
    return round(value) if is_whole(space) else float(f"{value:.12g}")


def _drawn(space: Space, numbers: random.Random) -> Any:
    values = values_of(space)
    if values:
        return numbers.choice(values)
    low, high = _low(space), _high(space)
    if space.log:
        return math.exp(numbers.uniform(math.log(low), math.log(high)))
    return numbers.uniform(low, high)


def _refusal(method: Method, params: Mapping[str, Any]) -> str | None:
    """Return why a method does not take settings, or None if it does."""
    own = {key: value for key, value in params.items() if key != "learning_rate"}
    try:
        parts.header("distill", method.name).Params.model_validate({**method.params, **own})
    except ValidationError as error:
        return wording(error.errors()[0])[0]
    return None


def _refuse_outside(method: Method, spaces: Mapping[str, Space]) -> None:
    """Refuse spaces of which a method takes nothing; they may overlap what it does not take."""
    numbers = random.Random(0)
    for _ in range(_TRIES):
        params = draw(spaces, numbers)
        if allows(method, params):
            return
    raise _outside(method, params)


def _outside(method: Method, params: Mapping[str, Any]) -> JobError:
    tried = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in params.items()
    )
    return JobError(
        f"methods.{method.name}",
        f"it takes nothing of its search, such as {tried}: {_refusal(method, params)}.",
        "Fix fewer settings, or move their spaces under `search`.",
    )


def _refuse_endless(method: Method, spaces: Mapping[str, Space]) -> None:
    for key, space in spaces.items():
        if not values_of(space):
            whole = key == "learning_rate"
            where = "search.learning_rate" if whole else f"methods.{method.name}.search.{key}"
            raise JobError(
                where,
                f"a grid needs choices or a step: {space.min:g} to {space.max:g} has neither.",
                "Give `choices: [...]`"
                + (", or a `step`." if whole else ", a `step`, or fix it."),
            )
