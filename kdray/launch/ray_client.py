"""Ray's client of its Jobs API, with limits of time, and its many errors as one kind."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import ray
import requests
from ray.dashboard.modules.dashboard_sdk import SubmissionClient
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from kdray.errors import LaunchError

#: Seconds until a connection stands.
CONNECT_S = 10.0
#: Seconds until an answer begins; Ray itself waits half a minute for its own agents.
ANSWER_S = 120.0
#: How often a question is asked of a head that has answered before.
TRIES = 4
#: Seconds between two tries.
PAUSE_S = 1.0
#: How long a head that answers may take to have a node, its own, seconds.
NODES_S = 30.0
#: What a proxy says while the head behind it is away.
AWAY = frozenset({502, 503, 504})

for _name in (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
):
    logging.getLogger(_name).setLevel(logging.WARNING)  # each upload would be told


class JobsClient(JobSubmissionClient):  # type: ignore[misc]
    """A client of the Jobs API at one address; see ``talking`` for its errors.

    Ray's own class lets ``RAY_ADDRESS`` override the address, and waits without end.

    Args:
        address: Such as ``http://head:8265``.
        token: The cluster's token; None: it asks for none.
    """

    def __init__(self, address: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client_ray_version = ray.__version__
        self._reached = False
        SubmissionClient.__init__(self, address=address, headers=headers)
        self._ssl_context = True  # Ray's None is deprecated, and means the same
        self.ray_version = self._version()

    def follow(self, id: str) -> Iterator[str]:
        """Yield what a job's driver prints, from the start, until the connection ends."""
        pieces = self.tail_job_logs(id)

        async def following() -> str | None:
            return await anext(pieces, None)

        with asyncio.Runner() as runner:
            try:
                while (piece := runner.run(following())) is not None:
                    yield piece
            finally:
                runner.run(pieces.aclose())

    def nodes(self) -> list[dict[str, float]]:
        """Return the resources of each node that is up; a head that has just started has none.

        Raises:
            LaunchError: It tells none for ``NODES_S`` seconds, or not how many.
        """
        for _ in range(int(NODES_S / PAUSE_S)):
            found = self._nodes()
            if found:
                return found
            time.sleep(PAUSE_S)
        remedy = "One that has just started is ready in a moment: try again, or see `ray status`."
        raise LaunchError(f"Ray at {self._address}", "has no node that is up.", remedy)

    def _nodes(self) -> list[dict[str, float]]:
        answer = self._do_request("GET", "/api/v0/nodes?limit=10000")
        try:
            rows = answer.json()["data"]["result"]["result"]
            return [dict(row["resources_total"]) for row in rows if row["state"] == "ALIVE"]
        except (ValueError, KeyError, TypeError):
            problem = f"does not tell its nodes (HTTP {answer.status_code})."
            raise LaunchError(f"Ray at {self._address}", problem) from None

    def _version(self) -> str:
        """Return the Ray version of the cluster."""
        answer = self._do_request("GET", "/api/version")
        try:
            return str(answer.json()["ray_version"])
        except (ValueError, KeyError, TypeError):
            problem = f"answers (HTTP {answer.status_code}), but is not a Ray cluster's Jobs API."
            remedy = "Its address is that of the dashboard, such as http://head:8265."
            raise LaunchError(f"Ray at {self._address}", problem, remedy) from None

    def _do_request(self, method: str, endpoint: str, **settings: Any) -> Any:
        """Ask the head; a question that changes nothing is asked again if it gets no answer."""
        tries = TRIES if method == "GET" and self._reached else 1
        for left in reversed(range(tries)):
            try:
                limits = (CONNECT_S, ANSWER_S)
                answer = super()._do_request(method, endpoint, timeout=limits, **settings)
            except (requests.ConnectionError, requests.Timeout):
                if not left:
                    raise
            else:
                self._reached = True
                if answer.status_code not in AWAY or not left:
                    return answer
            time.sleep(PAUSE_S)
        raise AssertionError("unreachable")  # the last try returns or raises


@contextmanager
def talking(address: str) -> Iterator[None]:
    """Say as ``LaunchError`` why a cluster does not answer, or refuses."""
    try:
        yield
    except (AuthenticationError, OSError, RuntimeError, aiohttp.ClientError) as error:
        raise _said(address, error) from error


def _said(address: str, error: BaseException) -> LaunchError:
    """Return an error of Ray's client, or of the libraries it uses, for the user."""
    where = f"Ray at {address}"
    if isinstance(error, AuthenticationError):
        return _refused(where, "required" in error.message)
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status in (401, 403):
            return _refused(where, error.status == 401)
        return LaunchError(where, f"refuses: HTTP {error.status}.")
    if isinstance(error, requests.exceptions.SSLError):
        remedy = "Set REQUESTS_CA_BUNDLE and SSL_CERT_FILE to the file of its authority."
        return LaunchError(where, f"is not trusted here: {_cause(error)}.", remedy)
    if isinstance(error, requests.exceptions.InvalidURL):
        return LaunchError(where, f"is no address: {_cause(error)}.", "Such as http://head:8265.")
    if isinstance(error, requests.Timeout):
        return _silent(where, "it takes too long")
    if isinstance(error, RuntimeError):
        return LaunchError(where, f"refuses: {_last_line(error)}")
    return _silent(where, _cause(error))


def _refused(where: str, missing: bool) -> LaunchError:
    problem = "asks for a token." if missing else "refuses the token."
    remedy = "Set RAY_AUTH_TOKEN, or token_file of the target, to that of the cluster."
    return LaunchError(where, problem, remedy)


def _silent(where: str, cause: str) -> LaunchError:
    remedy = (
        "Is the cluster up, the address that of its dashboard (http://head:8265), and reachable "
        "from here? With Kubernetes: `kubectl port-forward service/HEAD-SERVICE 8265`."
    )
    return LaunchError(where, f"does not answer: {cause}.", remedy)


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error of a connection, in the system's words."""
    text = str(error) or repr(error)
    if "BadStatusLine" in text:  # with the bytes of whatever answered
        return "what listens there does not speak HTTP"
    found = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)", text)
    if found:
        return found[1].strip().rstrip(".")
    return text.splitlines()[0].rstrip(".")


def _last_line(error: BaseException) -> str:
    """Return the last line of what a server says: it answers with whole stack traces."""
    text = str(error).strip().removesuffix(".")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{lines[-1].rstrip('.') if lines else repr(error)}."
