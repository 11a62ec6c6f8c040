"""What a Kubernetes API server's refusals mean, in words a user can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from kdray.errors import LaunchError


class Forbidden(LaunchError):
    """Something may not be done, or may not be done as it was asked."""


def meaning(message: str) -> tuple[str, str] | None:
    """Return what a message of the API server or of an event says: problem and remedy.

    Args:
        message: As the API server, an admission plugin or a controller wrote it.

    Returns:
        None where the message is none of the known refusals.
    """
    text = " ".join(message.split())
    for pattern, words in _MEANINGS:
        found = re.search(pattern, text)
        if found:
            return words(found)
    return None


def refusal(where: str, action: str, status: int, body: str) -> LaunchError:
    """Return the error for a request that the API server did not fulfil.

    Args:
        where: The place, in words.
        action: What was asked for, such as ``create RayJob x``.
        status: HTTP status; 403 makes it ``Forbidden``.
        body: The answer, a Kubernetes ``Status`` as JSON or plain text.
    """
    message = said(body) or f"HTTP status {status}"
    kind = Forbidden if status == 403 else LaunchError
    known = meaning(message)
    if known:
        return kind(where, f"cannot {action}: {known[0]}.", known[1])
    problem, remedy = _BY_STATUS.get(status, ("{message}", ""))
    return kind(where, f"cannot {action}: {problem.format(message=_ended(message))}", remedy)


def said(body: str) -> str:
    """Return the message of an answer's body, without quotes and line ends around it."""
    try:
        status = json.loads(body)
    except ValueError:
        return " ".join(body.split())
    if isinstance(status, Mapping):
        return str(status.get("message") or status.get("reason") or "")
    return str(status)


def is_kind_unknown(status: int, body: str) -> bool:
    """Return whether the API server does not know the kind, rather than the object."""
    if status != 404:
        return False
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return True  # "404 page not found", as text
    return not (answer.get("details") or {}).get("name")


_DOCTOR = "`kdray doctor --to TARGET` lists all that kdray needs there."

_LOG_IN = "Log in to the cluster again, or name another context in the target."

_BY_STATUS = {
    400: ("{message}", "The cluster may have another version of KubeRay: see `kdray doctor`."),
    401: ("the API server does not accept your credentials.", _LOG_IN),
    403: ("it is forbidden: {message}", _DOCTOR),
    404: ("{message}", ""),
    409: (
        "{message}",
        "Somebody else has changed these fields: undo that, or delete the object.",
    ),
    413: ("the object is too large.", "Shorten the job file: Kubernetes takes 1 MiB."),
    422: ("the cluster refuses it: {message}", ""),
    429: ("the API server has too much to do.", "Try again in a minute."),
    500: ("the API server failed: {message}", "Try again in a minute."),
    503: ("the API server is not ready: {message}", "Try again in a minute."),
    504: ("the API server timed out: {message}", "Try again in a minute."),
}


def _ended(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _quota(found: re.Match[str]) -> tuple[str, str]:
    asked, used, limit = (
        dict(pair.split("=", 1) for pair in found[part].rstrip(".").split(",") if "=" in pair)
        for part in ("asked", "used", "limit")
    )
    room = [
        f"{amount} {name} asked for, {used.get(name, '0')} of {limit.get(name, '?')} in use"
        for name, amount in asked.items()
    ]
    remedy = "Ask for less in the target's head and groups, or have the quota raised."
    return f"the namespace's quota {found['name']!r} leaves no room: {'; '.join(room)}", remedy


def _quota_wants(found: re.Match[str]) -> tuple[str, str]:
    what = found["what"].rstrip(".")
    remedy = "Ask the cluster's administrator for a LimitRange with defaults."
    return f"the namespace's quota {found['name']!r} wants {what} of every container", remedy


def _webhook(found: re.Match[str]) -> tuple[str, str]:
    why = (found["why"] or "it gives no reason").rstrip(".")
    return (
        f"the cluster's admission webhook {found['name']} refuses it: {why}",
        "It is a rule of the cluster: `kdray render` shows what was sent.",
    )


def _policy(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the cluster's admission policy {found['name']} refuses it: {found['why'].rstrip('.')}",
        "It is a rule of the cluster: `kdray render` shows what was sent.",
    )


def _webhook_down(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the cluster's admission webhook {found['name']} does not answer",
        "Its pods may be starting: try again in a minute, or ask the cluster's administrator.",
    )


def _pod_security(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the namespace's Pod Security level {found['level']} refuses the pods: "
        f"{found['why'].rstrip('.')}",
        "Use another namespace, or have its level changed.",
    )


def _rights(found: re.Match[str]) -> tuple[str, str]:
    if found["user"] == "system:anonymous":
        return "you are not logged in there", _LOG_IN
    what = found["what"] + (f".{found['group']}" if found["group"] else "")
    place = f" in namespace {found['namespace']}" if found["namespace"] else ""
    return f"{found['user']} may not {found['verb']} {what}{place}", _DOCTOR


def _namespace(found: re.Match[str]) -> tuple[str, str]:
    name = found["name"]
    return (
        f"there is no namespace {name}",
        f"Name another in the target, or `kubectl create namespace {name}`.",
    )


def _ending_namespace(found: re.Match[str]) -> tuple[str, str]:
    return f"namespace {found['name']} is being deleted", "Name another in the target."


def _service_account(found: re.Match[str]) -> tuple[str, str]:
    name = found["name"].rpartition("/")[2]
    return f"there is no service account {name}", "Mend service_account in the target."


def _priority(found: re.Match[str]) -> tuple[str, str]:
    return f"there is no PriorityClass {found['name']}", "Mend priority_class in the target."


def _limits(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the namespace's LimitRange refuses the pods: {found['rule'].strip()}",
        "Mend the target's head and groups.",
    )


def _field(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the cluster does not know the field {found['field']}",
        "Its KubeRay is of another version: install the one that `kdray doctor` names.",
    )


def _kind(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the cluster does not know {found['kind'] or found['type']}",
        "Install what defines it: for RayJob and RayService KubeRay's operator, see infra/README.",
    )


def _scheme(found: re.Match[str]) -> tuple[str, str]:
    return "its address begins with http:// and has to with https://", "Mend the kubeconfig."


def _conflict(found: re.Match[str]) -> tuple[str, str]:
    what = found["what"].rstrip(".").replace("conflicts with", "conflict with")
    return (
        f"others have set fields of it: {what}",
        "Undo that, or delete the object and submit again.",
    )


#: Patterns of messages -> what they mean and what to do; the first that fits counts.
_MEANINGS: tuple[tuple[str, Callable[[re.Match[str]], tuple[str, str]]], ...] = (
    (
        r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>\S+), used: (?P<used>\S+), "
        r"limited: (?P<limit>[^\s;]+)",
        _quota,
    ),
    (r"failed quota: (?P<name>[^:]+): must specify (?P<what>.+)", _quota_wants),
    (r"admission webhook \"(?P<name>[^\"]+)\" denied the request(: (?P<why>.*))?$", _webhook),
    (r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.* denied request: (?P<why>.*)$", _policy),
    (r"failed calling webhook \"(?P<name>[^\"]+)\"", _webhook_down),
    (r"violates PodSecurity \"(?P<level>[^\"]+)\": (?P<why>.*)$", _pod_security),
    (
        r"[Uu]ser \"(?P<user>[^\"]+)\" cannot (?P<verb>\w+) resource \"(?P<what>[^\"]+)\" "
        r"in API group \"(?P<group>[^\"]*)\"( in the namespace \"(?P<namespace>[^\"]+)\")?",
        _rights,
    ),
    (r"namespaces \"(?P<name>[^\"]+)\" not found", _namespace),
    (r"namespace (?P<name>\S+) because it is being terminated", _ending_namespace),
    (
        r"error looking up service account (?P<name>[^:]+): serviceaccount .* not found",
        _service_account,
    ),
    (r"no PriorityClass with name (?P<name>\S+) was found", _priority),
    (
        r"(?P<rule>(maximum|minimum) \S+ usage per (Container|Pod) is [^,]+?"
        r"(, but (limit|request) is [^,\]]+|\. No (limit|request) is specified))",
        _limits,
    ),
    (r"unknown field \"(?P<field>[^\"]+)\"", _field),
    (r"\.(?P<field>[^\s:]+): field not declared in schema", _field),
    (r"HTTP request to an HTTPS server", _scheme),
    (r"no matches for kind \"(?P<kind>\w+)\"|resource type (?P<type>\w+) not found", _kind),
    (r"Apply failed with \d+ conflicts?: (?P<what>.*)$", _conflict),
)
