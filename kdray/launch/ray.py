"""Jobs on a Ray cluster that runs already, by its Jobs API."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kdray.errors import LaunchError
from kdray.launch.place import LAUNCH, OVER, Order, Sent, Sighting
from kdray.launch.ray_trouble import reason_of, state_of
from kdray.spec.target import RayCluster

#: Where Ray's dashboard listens where nothing else is said.
DEFAULT = "http://127.0.0.1:8265"
#: Seconds between two looks at a job that is being stopped.
LOOK_S = 0.5
#: Seconds Ray may take beyond the driver's own time to stop.
GRACE_S = 15.0


class RayJobs:
    """The jobs of a Ray cluster; a ``Place``.

    Args:
        place: The cluster.

    Raises:
        LaunchError: Its address is not that of a Jobs API.
    """

    def __init__(self, place: RayCluster) -> None:
        self._place = place
        self._address = address_of(place)

    @property
    def where(self) -> str:
        """The place in words."""
        return f"Ray at {self._address}"

    def submit(self, order: Order, new: bool = False) -> Sent:
        """Send a job, or find it running; see ``Place``."""
        for _ in range(3):  # somebody else may send it at the same moment
            tries = self._tries(order)
            running = next((one for one in tries if state_of(one) not in OVER), None)
            if running is not None and not new:
                return Sent(self._seen(running), attached=True)
            if not new:
                self._only(order)
            id = _next_id(order.id, [str(one.submission_id) for one in tries])
            if self._send(order, id):
                return Sent(self._sight(id), attached=False)
        raise LaunchError(self.where, f"already has all of {order.id}.", "Try again.")

    def jobs(self) -> list[Sighting]:
        """Return kdray's jobs there, the latest first."""
        return [self._seen(one) for one in self._all()]

    def look(self, id: str) -> Sighting | None:
        """Return a job by its id, or None where the cluster does not know it."""
        details = self._details(id)
        return None if details is None else self._seen(details)

    def logs(self, id: str, follow: bool = False) -> Iterator[str]:
        """Yield what the driver has printed, in pieces; with ``follow`` until the job is over.

        A connection that ends before the job is taken up again where it was.
        """
        seen, is_cut = 0, False
        while True:
            is_over = self._sight(id).state in OVER or not follow
            is_whole = is_over or is_cut
            try:
                for piece in _after(seen, self._printed(id, is_whole)):
                    seen += len(piece)
                    yield piece
                is_cut = False
            except LaunchError:
                if is_whole:
                    raise
                is_cut = True  # perhaps for ever: some proxies know no WebSockets
            if is_over:
                return
            time.sleep(LOOK_S)

    def stop(self, id: str, wait_s: float, tell: Callable[[str], None] | None = None) -> str:
        """End a job as Ctrl-C does.

        Ray kills a driver that takes longer than the time that was set when it was sent, a
        minute unless the target's environment says ``RAY_JOB_STOP_WAIT_TIME_S``.
        """
        seen = self._sight(id)
        if seen.state in OVER:
            return f"{id} is {seen.state}: there is nothing to stop."
        with self._talking():
            self._client.stop_job(id)
        if tell:
            tell(f"asked {self.where} to stop {id}, waiting up to {wait_s:.0f} s")
        end = time.monotonic() + wait_s + GRACE_S
        while time.monotonic() < end:
            seen = self._sight(id)
            if seen.state in OVER:
                return f"{id} is {seen.state}. Submit it again to continue."
            time.sleep(LOOK_S)
        raise LaunchError(
            id,
            f"does not end at {self.where}.",
            "Ray kills it a minute after it was asked; look again with `kdray status`.",
        )

    @functools.cached_property
    def _client(self) -> Any:
        # Ray takes seconds to import.
        from kdray.launch.ray_client import JobsClient

        return JobsClient(self._address, token_of(self._place))

    def _talking(self) -> Any:
        from kdray.launch.ray_client import talking

        return talking(self._address)

    def _all(self) -> list[Any]:
        """Return Ray's details of all jobs that kdray has sent, the latest first."""
        with self._talking():
            found = self._client.list_jobs()
        mine = [one for one in found if "kdray.id" in (one.metadata or {})]
        return sorted(mine, key=lambda one: -(one.start_time or 0))

    def _tries(self, order: Order) -> list[Any]:
        """Return the details of each time that an order was sent, the latest first."""
        return [one for one in self._all() if one.metadata["kdray.id"] == order.id]

    def _only(self, order: Order) -> None:
        """Refuse a job whose name runs with other settings: its lock would refuse it later."""
        mark = {"kdray.job": order.job, "kdray.storage": order.storage}
        for one in self._all():
            is_other = (
                mark.items() <= one.metadata.items() and one.metadata["kdray.id"] != order.id
            )
            if is_other and state_of(one) not in OVER:
                raise LaunchError(
                    order.job,
                    f"runs already at {self.where}, with other settings, as {one.submission_id}.",
                    f"End it first: `kdray stop {one.submission_id} --to {self._address}`; or "
                    "give this job another name.",
                )

    def _send(self, order: Order, id: str) -> bool:
        """Send a job; return whether its id was free."""
        from kdray.launch.ray_ship import JOB_FILE, runtime_env

        with runtime_env(order.spec, self._place) as sent, self._talking():
            self._fits()
            try:
                self._client.submit_job(
                    # `exec`: signals and the exit code are those of Python, not of a shell.
                    entrypoint=f"exec env {LAUNCH}={id} {self._place.python} "
                    f"-m kdray.cli.main run {JOB_FILE} --plain",
                    submission_id=id,
                    runtime_env=sent,
                    metadata={
                        "kdray.job": order.job,
                        "kdray.id": order.id,
                        "kdray.kind": order.kind,
                        "kdray.storage": order.storage,
                    },
                )
            except RuntimeError as error:
                if "already exists" in str(error):
                    return False
                raise
        return True

    def _fits(self) -> None:
        """Refuse a cluster whose Ray is not the one that the code that is sent is made for."""
        import ray

        theirs, ours = self._client.ray_version, ray.__version__
        if self._place.ship and theirs.split(".")[:2] != ours.split(".")[:2]:
            raise LaunchError(
                self.where,
                f"runs Ray {theirs}; the kdray that would be sent is made for Ray {ours}.",
                "Use a cluster of that version, or install the kdray that fits it on its nodes "
                "and set `ship: false` in the target.",
            )

    def _details(self, id: str) -> Any | None:
        with self._talking():
            try:
                found = self._client.get_job_info(id)
            except RuntimeError as error:
                if "status code 404" in str(error):
                    return None
                raise
        return found if "kdray.id" in (found.metadata or {}) else None

    def _sight(self, id: str) -> Sighting:
        """Return a job that has to be there."""
        seen = self.look(id)
        if seen is None:
            remedy = (
                f"See `kdray jobs --to {self._address}`; a cluster forgets its jobs when its head "
                "starts anew."
            )
            raise LaunchError(self.where, f"knows no job {id!r}.", remedy)
        return seen

    def _printed(self, id: str, is_whole: bool) -> Iterator[str]:
        """Yield a log from its start: as it is, or as it grows."""
        with self._talking():
            yield from [self._client.get_job_logs(id)] if is_whole else self._client.follow(id)

    def _seen(self, details: Any) -> Sighting:
        facts, driver = details.metadata, details.driver_info
        id = str(details.submission_id)
        return Sighting(
            job=facts["kdray.job"],
            id=id,
            state=state_of(details),
            reason=reason_of(details),
            where=self.where,
            created=_seconds(details.start_time),
            ended=_seconds(details.end_time),
            exit_code=details.driver_exit_code,
            storage=facts.get("kdray.storage", ""),
            kind=facts.get("kdray.kind", ""),
            process=f"{driver.pid} on {driver.node_ip_address}" if driver else "",
            log=f"{self._address}/#/jobs/{id}",
        )


def address_of(place: RayCluster) -> str:
    """Return the address of a cluster's Jobs API.

    Raises:
        LaunchError: What is set is the address of something else.
    """
    if place.address:
        found, source = place.address, "the target"
    else:
        names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
        source = next((name for name in names if os.environ.get(name)), "")
        found = os.environ[source] if source else DEFAULT
    if not found.startswith(("http://", "https://")):
        raise LaunchError(
            source,
            f"address {found!r} is not that of Ray's Jobs API.",
            "Name the head's dashboard: `--to http://HEAD:8265`.",
        )
    return found.rstrip("/")


def token_of(place: RayCluster) -> str | None:
    """Return the token to show to a cluster; None: none.

    It is the target's, or ``RAY_AUTH_TOKEN``, the file ``RAY_AUTH_TOKEN_PATH`` or Ray's own file;
    with ``RAY_AUTH_MODE=disabled`` only the target's.

    Raises:
        LaunchError: A file that is named cannot be read.
    """
    if place.token_file:
        return _token_in(Path(place.token_file).expanduser(), "token_file")
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return None
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"].strip()
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named:
        return _token_in(Path(named), "RAY_AUTH_TOKEN_PATH")
    own = Path.home() / ".ray" / "auth_token"
    return _token_in(own, "Ray's token") if own.is_file() else None


def _token_in(path: Path, name: str) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text"
        raise LaunchError(name, f"{path} cannot be read: {why}.") from error
    if not token:
        raise LaunchError(name, f"{path} is empty.")
    return token


def _after(seen: int, pieces: Iterable[str]) -> Iterator[str]:
    """Yield what pieces hold after the letters that were seen."""
    for piece in pieces:
        if piece[seen:]:
            yield piece[seen:]
        seen = max(0, seen - len(piece))


def _next_id(id: str, taken: list[str]) -> str:
    """Return the first id of an order that was not used: ``id``, ``id-2``, ``id-3`` ..."""
    if id not in taken:
        return id
    number = 2
    while f"{id}-{number}" in taken:
        number += 1
    return f"{id}-{number}"


def _seconds(milliseconds: int | None) -> float | None:
    return None if not milliseconds else milliseconds / 1000
