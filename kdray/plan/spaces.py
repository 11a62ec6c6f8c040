"""What a search of a method tries."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from kdray import parts
from kdray.errors import JobError
from kdray.spec.experiment import Method, Search
from kdray.spec.problem import wording
from kdray.spec.space import Space


def spaces_of(search: Search, method: Method) -> dict[str, Space]:
    """Return a method's search spaces: its own, or the job's instead, less what is fixed.

    Raises:
        JobError: Ends of the spaces do not go together, or not with what is fixed.
    """
    if search.trials == 0:
        return {}
    own = {
        name: Space.model_validate(space)
        for name, space in parts.searchable(method.name).items()
        if name not in method.params
    }
    spaces = {**own, **method.search}
    _refuse_outside(method, spaces)
    if search.learning_rate is not None:
        spaces["learning_rate"] = search.learning_rate
    return spaces


def _refuse_outside(method: Method, spaces: Mapping[str, Space]) -> None:
    """Refuse spaces whose least or largest values together the method does not take."""
    params = parts.header("distill", method.name).Params
    for end in (0, -1):
        corner = {
            key: (space.choices or (space.min, space.max))[end] for key, space in spaces.items()
        }
        try:
            params.model_validate({**method.params, **corner})
        except ValidationError as error:
            problem, _ = wording(error.errors()[0])
            tried = ", ".join(f"{key} {value}" for key, value in corner.items())
            raise JobError(
                f"methods.{method.name}",
                f"its search would try {tried}: {problem}.",
                "Fix fewer settings, or narrow their spaces under `search`.",
            ) from error
