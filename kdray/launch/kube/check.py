"""Whether a namespace of Kubernetes can take kdray's jobs, before one is sent."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator

from kdray.errors import LaunchError
from kdray.launch.finding import Check
from kdray.launch.kube.client import Api, Object, UnknownKind, connect
from kdray.launch.kube.nodes import node_checks
from kdray.launch.kube.quota import quota_checks
from kdray.launch.kube.refusal import Forbidden, refusal
from kdray.launch.kube.rights import rights_checks
from kdray.launch.kube.trial import trial_checks
from kdray.spec.target import Kubernetes, SecretKey

#: Oldest KubeRay that knows all fields of the manifests: Ray's token came with it.
LEAST = (1, 5, 1)
#: Label of the operator's deployment, by Helm and by kustomize.
_OPERATOR = "app.kubernetes.io/name=kuberay-operator"
_INSTALL = "Install KubeRay's operator: see infra/README.md."


def kubernetes_checks(place: Kubernetes) -> Iterator[Check]:
    """Yield what is found out about a target's place.

    Args:
        place: The target's place.
    """
    try:
        api = connect(place)
        version = api.ask("GET", "/version")
        number = version.object().get("gitVersion", "?") if version.ok else ""
    except LaunchError as error:
        yield Check("cluster", "fail", f"{error.where}: {error.problem}", error.remedy)
        return
    client = importlib.metadata.version("kubernetes")
    if not version.ok:
        problem = f"{api.server} answers with HTTP status {version.status}"
        remedy = "Log in again, or name another context in the target."
        yield Check("cluster", "fail", problem, remedy)
        return
    yield Check("cluster", "ok", f"{api.where}: {number} at {api.server}, client {client}")
    for name, look in _LOOKS.items():
        try:
            yield from look(api, place)
        except UnknownKind as error:
            yield Check(name, "fail", error.problem, error.remedy)
        except Forbidden as error:
            yield Check(name, "note", f"may not be looked at: {error.problem}")
        except LaunchError as error:
            yield Check(name, "fail", error.problem, error.remedy)


def _namespace(api: Api, place: Kubernetes) -> Iterator[Check]:
    found = api.get("Namespace", api.namespace)
    if found is None:
        remedy = f"`kubectl create namespace {api.namespace}`, or name another in the target."
        yield Check("namespace", "fail", f"there is no namespace {api.namespace}", remedy)
    elif (found.get("status") or {}).get("phase") == "Terminating":
        yield Check("namespace", "fail", f"{api.namespace} is being deleted", "Name another.")
    else:
        yield Check("namespace", "ok", api.namespace)


def _kuberay(api: Api, place: Kubernetes) -> Iterator[Check]:
    answer = api.ask("GET", "/apis/ray.io/v1")
    if answer.status == 404:
        yield Check("KubeRay", "fail", "the cluster knows no RayJob", _INSTALL)
        return
    if not answer.ok:
        raise refusal(api.where, "read /apis/ray.io/v1", answer.status, answer.body)
    kinds = {str(each["kind"]) for each in answer.object().get("resources") or ()}
    missing = sorted({"RayCluster", "RayJob", "RayService"} - kinds)
    if missing:
        yield Check("KubeRay", "fail", f"the cluster knows no {', '.join(missing)}", _INSTALL)
        return
    yield Check("KubeRay", "ok", "RayCluster, RayJob and RayService of ray.io/v1")


def _operator(api: Api, place: Kubernetes) -> Iterator[Check]:
    found = api.list("Deployment", labels=_OPERATOR, all=True)
    if not found:
        remedy = f"A provider's own operator may not be seen; else: {_INSTALL}"
        yield Check("operator", "warn", "no deployment of KubeRay's operator is seen", remedy)
    for deployment in found:
        yield _operator_check(api, deployment)


def _operator_check(api: Api, deployment: Object) -> Check:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    tag = str(container.get("image", "")).partition("@")[0].rpartition(":")[2]
    where = f"{deployment['metadata']['name']} in {deployment['metadata']['namespace']}"
    fact = f"{where}: {tag}"
    watched = _watched([*(container.get("command") or ()), *(container.get("args") or ())])
    if watched and api.namespace not in watched:
        remedy = f"Add {api.namespace} to its --watch-namespace."
        return Check("operator", "fail", f"{fact} watches {', '.join(watched)} only", remedy)
    if not (deployment.get("status") or {}).get("readyReplicas"):
        remedy = "See its pods: jobs are not taken up until it runs."
        return Check("operator", "warn", f"{fact}, of which no pod is ready", remedy)
    number = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", tag)
    if number and tuple(int(part or 0) for part in number.groups()) < LEAST:
        remedy = f"Install {'.'.join(map(str, LEAST))} or later."
        return Check("operator", "fail", f"{fact} is too old for kdray's manifests", remedy)
    return Check("operator", "ok", fact)


def _watched(words: list[str]) -> list[str]:
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if name == "watch-namespace":
            value = value if equals else (words[place + 1 : place + 2] or [""])[0]
            return [part for part in value.split(",") if part]
    return []


def _service_account(api: Api, place: Kubernetes) -> Iterator[Check]:
    remedy = "Make it, or mend service_account."
    said = ("service account", "service account", remedy)
    yield from _named(api, "ServiceAccount", place.service_account, said)


def _priority(api: Api, place: Kubernetes) -> Iterator[Check]:
    said = ("priority", "PriorityClass", "Mend priority_class in the target.")
    yield from _named(api, "PriorityClass", place.priority_class, said)


def _named(api: Api, kind: str, name: str | None, said: tuple[str, str, str]) -> Iterator[Check]:
    """Yield whether an object that the target may name is there.

    Args:
        api: The API server.
        kind: Its kind.
        name: Its name; None: the target names none.
        said: The name of the check, what the object is called, and the remedy.
    """
    if name is None:
        return
    check, called, remedy = said
    if api.get(kind, name) is None:
        yield Check(check, "fail", f"there is no {called} {name}", remedy)
    else:
        yield Check(check, "ok", name)


def _image(api: Api, place: Kubernetes) -> Iterator[Check]:
    image = place.image
    first, slash, _ = image.partition("/")
    is_of_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@" not in image and tag in ("", "latest") and place.pull_policy == "IfNotPresent":
        remedy = "Give every build a tag of its own, or set pull_policy: Always."
        yield Check("image", "warn", f"{image}: nodes that have an older one keep it", remedy)
    elif not is_of_registry:
        fact = f"{image} names no registry: nodes need to have it, or it comes from Docker Hub"
        yield Check("image", "note", fact)
    else:
        yield Check("image", "ok", f"{image} (whether it can be pulled only a node knows)")
    for name in place.pull_secrets:
        yield _secret(api, "pull secret", name, {".dockerconfigjson"})


def _secrets(api: Api, place: Kubernetes) -> Iterator[Check]:
    keys: list[SecretKey] = [*place.secret_environment.values()]
    if place.fault_tolerance is not None and place.fault_tolerance.password is not None:
        keys.append(place.fault_tolerance.password)
    if place.serving.keys is not None:
        keys.append(place.serving.keys)
    for name in sorted({key.secret for key in keys}):
        yield _secret(api, "secret", name, {key.key for key in keys if key.secret == name})


def _secret(api: Api, what: str, name: str, keys: set[str]) -> Check:
    try:
        found = api.get("Secret", name)
    except LaunchError:
        fact = f"{name} may not be read from here, which pods need not"
        return Check(what, "note", fact)
    if found is None:
        remedy = f"`kubectl create secret generic {name} ...`, or mend the target."
        return Check(what, "fail", f"there is no Secret {name}", remedy)
    missing = sorted(keys - set(found.get("data") or {}))
    if missing:
        return Check(what, "fail", f"the Secret {name} has no key {', '.join(missing)}")
    return Check(what, "ok", f"{name} with {', '.join(sorted(keys))}")


def _volumes(api: Api, place: Kubernetes) -> Iterator[Check]:
    for volume in place.volumes:
        found = api.get("PersistentVolumeClaim", volume.claim)
        if found is None:
            fact = f"there is no PersistentVolumeClaim {volume.claim}"
            yield Check("volume", "fail", fact, "Make it, or mend the target's volumes.")
            continue
        phase = str((found.get("status") or {}).get("phase"))
        modes = found["spec"].get("accessModes") or []
        if modes == ["ReadWriteOnce"]:
            fact = f"{volume.claim} can be mounted on one node at a time ({phase})"
            yield Check("volume", "warn", fact, "Use a claim that is ReadWriteMany.")
        else:
            yield Check("volume", "ok", f"{volume.claim} at {volume.path} ({phase})")


def _queue(api: Api, place: Kubernetes) -> Iterator[Check]:
    if place.queue is None:
        return
    found = api.get("LocalQueue", place.queue)
    if found is None:
        fact = f"there is no LocalQueue {place.queue} in {api.namespace}"
        yield Check("queue", "fail", fact, "Make it, or leave `queue` out of the target.")
        return
    status = found.get("status") or {}
    waiting = int(status.get("pendingWorkloads") or 0)
    running = int(status.get("admittedWorkloads") or 0)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Active" and condition.get("status") != "True":
            fact = f"{place.queue} takes no jobs: {condition.get('message')}"
            yield Check("queue", "fail", fact, "See its ClusterQueue.")
            return
    fact = f"{place.queue}, where {waiting} jobs wait and {running} run"
    yield Check("queue", "ok", fact)


#: Name of the findings -> what finds them out.
_LOOKS: dict[str, Callable[[Api, Kubernetes], Iterator[Check]]] = {
    "namespace": _namespace,
    "KubeRay": _kuberay,
    "operator": _operator,
    "rights": rights_checks,
    "service account": _service_account,
    "image": _image,
    "secret": _secrets,
    "volume": _volumes,
    "queue": _queue,
    "priority": _priority,
    "nodes": node_checks,
    "quota": quota_checks,
    "dry run": trial_checks,
}
