"""What every place can do with jobs: this machine, a Ray cluster, Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from kdray.run.driver import LAUNCH as LAUNCH

#: ``pending``: taken, not begun; ``lost``: it should run, and nothing is heard of it.
State = Literal["pending", "running", "finished", "failed", "stopped", "lost"]
#: States in which a job is over.
OVER: frozenset[State] = frozenset({"finished", "failed", "stopped", "lost"})


@dataclass(frozen=True)
class Order:
    """A job as it is sent to a place.

    Args:
        job: Its name.
        kind: ``Experiment``, ``Suite`` or ``Service``.
        id: Name of this work at the place: the job's name and a hash of what is sent, so that the
            same job sent twice has the same id; of a service its name only, so that a changed one
            takes the place of the old. At most 44 characters of ``[a-z0-9-]``, the first
            a letter; a place adds ``-2``, ``-3`` ... for a further try. A service's is its name,
            so that sending it changed is an upgrade.
        spec: The job file as YAML: overrides, environment and the target's storage filled in.
        file: The job file as its user named it.
        storage: URI of the results.
        sets: The overrides by which ``file`` becomes ``spec``, for places that can read the file.
    """

    job: str
    kind: Literal["Experiment", "Suite", "Service"]
    id: str
    spec: str
    file: str
    storage: str
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sighting:
    """A job as a place shows it.

    Args:
        job: Its name.
        id: Its id at the place.
        state: Its state.
        reason: Why it waits or failed, as one sentence a user can act on; else empty.
        where: The place, in words.
        created: When it was sent, Unix seconds; None: unknown.
        started: When it began; None: not yet, or unknown.
        ended: When it was over; None: not yet, or unknown.
        exit_code: Of the driver; None: not over, or unknown.
        storage: URI of its results; empty: unknown.
        kind: ``Experiment``, ``Suite`` or ``Service``; empty: unknown.
        process: What drives it, such as a process number or the name of a pod; empty: unknown.
        log: Path or address under which its log can be seen; empty: none.
    """

    job: str
    id: str
    state: State
    reason: str = ""
    where: str = ""
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    storage: str = ""
    kind: str = ""
    process: str = ""
    log: str = ""


@dataclass(frozen=True)
class Sent:
    """What became of an order.

    Args:
        seen: The job.
        attached: Whether it was there already; nothing was sent then.
        notes: What its user should know, a sentence each.
    """

    seen: Sighting
    attached: bool
    notes: tuple[str, ...] = ()


class Place(Protocol):
    """Where jobs run.

    A place sets ``LAUNCH`` to the job's id in the environment of the driver that it starts.

    Every method raises ``LaunchError`` where the place does not answer or refuses, with what the
    user can do about it.
    """

    @property
    def where(self) -> str:
        """The place in words, such as ``Ray at http://head:8265``."""

    def submit(self, order: Order, new: bool = False) -> Sent:
        """Send a job, or find it running.

        Args:
            order: The job.
            new: Send it even if it runs already; it then waits for the job's lock, or is refused.
        """

    def jobs(self) -> list[Sighting]:
        """Return kdray's jobs at the place, the latest first."""

    def look(self, id: str) -> Sighting | None:
        """Return a job by its id, or None where the place does not know it."""

    def logs(self, id: str, follow: bool = False) -> Iterator[str]:
        """Yield what the driver has printed, in pieces; with ``follow`` until the job is over."""

    def stop(self, id: str, wait_s: float, tell: Callable[[str], None] | None = None) -> str:
        """End a job as Ctrl-C does, or harder after ``wait_s`` seconds; return what was done."""
