"""A Kubernetes API server, by the official client: objects as plain dictionaries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from kdray.errors import LaunchError
from kdray.launch.kube.kinds import DEFINED_BY, KINDS, NEWER, path_of
from kdray.launch.kube.login import log_in
from kdray.launch.kube.refusal import is_kind_unknown, refusal
from kdray.spec.target import Kubernetes

#: A Kubernetes object, as its JSON.
Object = dict[str, Any]

#: Who the fields belong to that kdray applies.
MANAGER = "kdray"
#: Seconds to connect and to wait for an answer.
TIMEOUT_S = (10.0, 30.0)
#: Seconds without a line after which a followed log is asked for again.
QUIET_S = 60.0


class UnknownKind(LaunchError):
    """The cluster does not know a kind: what defines it is not installed."""


@dataclass(frozen=True)
class Answer:
    """What the API server says.

    Args:
        status: HTTP status.
        body: The text.
    """

    status: int
    body: str

    @property
    def ok(self) -> bool:
        """Whether it did what was asked for."""
        return 200 <= self.status < 300

    def object(self) -> Object:
        """Return the body as an object.

        Raises:
            LaunchError: It is none: something else answers, such as a proxy's page to log in.
        """
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        begin = " ".join(self.body.split())[:80]
        problem = f"what answers is no API server of Kubernetes: {begin!r}."
        remedy = "Log in again, or mend the server in the kubeconfig; see HTTPS_PROXY too."
        raise LaunchError("kubernetes", problem, remedy)


@dataclass(frozen=True)
class Api:
    """An API server and a namespace there; made by ``connect``.

    Args:
        client: The official client's ``ApiClient``.
        namespace: Where objects are looked for.
        context: Name of the kubeconfig's context; "in-cluster" without one.
    """

    client: Any = field(repr=False)
    namespace: str
    context: str

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self.client.configuration.host)

    @property
    def where(self) -> str:
        """The place in words."""
        return f"Kubernetes {self.context}, namespace {self.namespace}"

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None where there is none of that name.

        Raises:
            LaunchError: The kind is not known there, it is forbidden, or there is no answer.
        """
        answer = self._read(kind, name)
        if answer.status == 404 and not is_kind_unknown(answer.status, answer.body):
            return None
        return self._object(answer, f"read {kind} {name}", kind)

    def list(
        self, kind: str, labels: str = "", fields: str = "", all: bool = False
    ) -> list[Object]:
        """Return the objects of a kind.

        Args:
            kind: One of ``KINDS``.
            labels: Label selector.
            fields: Field selector.
            all: Of all namespaces.

        Raises:
            LaunchError: As ``get``.
        """
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": "500"}
        found: list[Object] = []
        while True:
            answer = self._read(kind, query=query, all=all)
            page = self._object(answer, f"list {kind}s", kind)
            found += page.get("items") or []
            query["continue"] = (page.get("metadata") or {}).get("continue", "")
            if not query["continue"]:
                return found

    def apply(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Object:
        """Create an object or change it to what a manifest says, as field manager ``kdray``.

        Args:
            manifest: The object; without a namespace it goes to this one.
            dry_run: Only have it checked.

        Raises:
            LaunchError: It is refused; what others have set is not overwritten.
        """
        kind, name = str(manifest["kind"]), str(manifest["metadata"]["name"])
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        answer = self.ask(
            "PATCH",
            self.path(kind, name, version=str(manifest["apiVersion"])),
            query=query,
            body=manifest,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        return self._object(answer, f"apply {kind} {name}", kind)

    def create(self, kind: str, body: Mapping[str, Any]) -> Object:
        """Create an object such as a review, and return it.

        Raises:
            LaunchError: It is refused.
        """
        return self._object(self.ask("POST", self.path(kind), body=body), f"create {kind}", kind)

    def delete(self, kind: str, name: str) -> bool:
        """Delete an object and, in the background, what it owns; return whether it was there.

        Raises:
            LaunchError: It is refused.
        """
        query = {"propagationPolicy": "Background"}
        answer = self.ask("DELETE", self.path(kind, name), query=query)
        if answer.status == 404:
            return False
        self._object(answer, f"delete {kind} {name}", kind)
        return True

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return the answer, whatever its status.

        Args:
            method: HTTP method.
            path: Path on the API server.
            query: Words of the query; empty ones are left out.
            body: What is sent, as JSON.
            headers: Further headers.

        Raises:
            LaunchError: There is no answer.
        """
        with self._reading():
            response = self._send(method, path, query, body, headers)
            return Answer(int(response.status), response.read().decode(errors="replace"))

    def log(self, pod: str, container: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """Yield pieces of a container's log as they come.

        Args:
            pod: Name of the pod.
            container: Name of the container.
            query: Further words of the request, such as ``follow``.

        Raises:
            LaunchError: The log cannot be read. A pod that has just gone has none, and ``follow``
                ends silently when the connection does.
        """
        from urllib3.exceptions import HTTPError

        with self._reading():
            query = {"container": container, **query}
            response = self._send("GET", f"{self.path('Pod', pod)}/log", query)
            if response.status != 200:
                body = response.read().decode(errors="replace")
                if response.status == 404:
                    return
                raise refusal(self.where, f"read the log of pod {pod}", response.status, body)
        try:
            yield from response.response.stream(2**16)
        except HTTPError:
            return  # the reader looks whether there is more, and asks again
        finally:
            response.response.close()

    def path(self, kind: str, name: str = "", *, version: str = "", all: bool = False) -> str:
        """Return the path of a kind's objects, or of one of them."""
        namespace = "" if all else self.namespace
        return path_of(kind, namespace, name, version)

    def _read(
        self, kind: str, name: str = "", query: Mapping[str, str] | None = None, all: bool = False
    ) -> Answer:
        answer = self.ask("GET", self.path(kind, name, all=all), query=query)
        newer = NEWER.get(KINDS[kind][0])
        if newer and is_kind_unknown(answer.status, answer.body):
            answer = self.ask("GET", self.path(kind, name, version=newer, all=all), query=query)
        return answer

    def _object(self, answer: Answer, action: str, kind: str) -> Object:
        if answer.ok:
            return answer.object()
        if is_kind_unknown(answer.status, answer.body):
            raise UnknownKind(
                self.where,
                f"cannot {action}: the cluster does not know {kind} ({KINDS[kind][0]}).",
                DEFINED_BY.get(kind, ""),
            )
        raise refusal(self.where, action, answer.status, answer.body)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        words = urlencode({name: value for name, value in (query or {}).items() if value})
        sent = {"Accept": "application/json, */*"}
        sent |= {"Content-Type": "application/json"} if body is not None else {}
        method, url, known, body, _ = self.client.param_serialize(
            method,
            f"{path}?{words}" if words else path,
            header_params=sent | dict(headers or {}),
            body=body,
            auth_settings=["BearerToken"],
        )
        read_s = QUIET_S if (query or {}).get("follow") else TIMEOUT_S[1]
        return self.client.call_api(
            method, url, known, body, _request_timeout=(TIMEOUT_S[0], read_s)
        )

    def _reading(self) -> _Reading:
        return _Reading(self.server, self.context)


def connect(place: Kubernetes) -> Api:
    """Return the API server of a target.

    Raises:
        LaunchError: As ``log_in``.
    """
    client, context, namespace = log_in(place)
    return Api(client, namespace, context)


class _Reading:
    """Turns what the client raises where there is no answer into errors for users."""

    def __init__(self, server: str, context: str) -> None:
        self.server = server
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        if not isinstance(error, HTTPError | ApiException):
            return
        cause = getattr(error, "reason", None) or error
        where = f"Kubernetes {self._context}"
        problem, remedy = unanswered(self.server, cause)
        raise LaunchError(where, problem, remedy) from None


def unanswered(server: str, cause: Any) -> tuple[str, str]:
    """Return problem and remedy for what kept an API server from answering."""
    text = f"{type(cause).__name__} {cause}"
    if "WRONG_VERSION_NUMBER" in text:
        return f"{server} does not speak HTTPS.", "Mend the server in the kubeconfig."
    if "SSL" in text or "CERTIFICATE" in text:
        why = re.sub(r"\[[^]]*\] |certificate verify failed: | \(_ssl\.c:\d+\)", "", str(cause))
        problem = f"the certificate of {server} is not accepted: {why}."
        return problem, "Log in to the cluster again, or mend its authority in the kubeconfig."
    problem = f"the API server {server} does not answer: {_plain(cause)}."
    return problem, "Is the cluster up, and its network (VPN) reachable from here?"


def _plain(cause: Any) -> str:
    text = str(cause)
    if "Name or service not known" in text or "NameResolution" in type(cause).__name__:
        return "its name is not known"
    if "refused" in text:
        return "connection refused"
    if "imed out" in text or "imeout" in type(cause).__name__:
        return "timed out"
    if type(cause).__name__ in ("ProtocolError", "IncompleteRead"):
        return "the connection was lost"
    return text.rpartition(": ")[2].rstrip(".")
