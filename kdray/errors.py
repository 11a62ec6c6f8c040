"""The errors a user can meet: where, what was given, what to do."""

from __future__ import annotations

from collections.abc import Sequence


class KdrayError(Exception):
    """An error that the user can understand and mend.

    Args:
        where: The place: ``file:line:column``, a field path, a URI or a step.
        problem: What is wrong, with the value that was given.
        remedy: What to do about it; empty where the problem says it.
    """

    exit_code = 1

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(": ".join(part for part in (where, self.sentence()) if part))

    def sentence(self) -> str:
        """Return problem and remedy as one line of text."""
        return " ".join(part for part in (self.problem, self.remedy) if part)

    def __reduce__(self) -> tuple[type[KdrayError], tuple[str, str, str]]:
        # Ray pickles errors to bring them from workers to the driver.
        return (type(self), (self.where, self.problem, self.remedy))


class JobError(KdrayError):
    """What the user wrote cannot be done: a spec, an option, a name."""

    exit_code = 2


class JobErrors(JobError):
    """Several problems of one job file, shown at once.

    Args:
        problems: One or more errors, in the order of the file.
    """

    def __init__(self, problems: Sequence[KdrayError]) -> None:
        self.problems = tuple(problems)
        super().__init__("", "\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[JobErrors], tuple[Sequence[KdrayError]]]:  # type: ignore[override]
        return (type(self), (self.problems,))


class DataError(KdrayError):
    """Images, labels or tables are missing, unreadable or contradict each other."""


class TooLarge(DataError):
    """An image has more pixels than are allowed."""


class ModelError(KdrayError):
    """A model cannot be built, loaded or looked into."""


class LaunchError(KdrayError):
    """A place where jobs run does not answer, refuses, or cannot do what a job asks for."""


class NeverFits(LaunchError):
    """A job asks for more than a place can ever give, or is not set up to get it."""

    exit_code = 2


class StoreError(KdrayError):
    """Storage cannot be read or written."""


class RegistryError(KdrayError):
    """A registered package or alias is missing, damaged or taken."""


class ExplainError(KdrayError):
    """An explanation cannot be made, or is blank."""


class RunError(KdrayError):
    """A step of a job failed."""


class Diverged(RunError):
    """The loss of a training run is not finite, in all processes that share it alike."""


class Stopped(KdrayError):
    """The user stopped the work (Ctrl-C or ``kdray stop``); running again continues it."""

    exit_code = 130
