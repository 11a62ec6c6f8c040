"""From a kubeconfig, or a pod's service account, to the official client and a namespace."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kdray.errors import LaunchError
from kdray.spec.target import Kubernetes

#: What a pod's own cluster is called, which no kubeconfig names.
IN_CLUSTER = "in-cluster"
#: Where a pod finds the namespace of its service account.
_OWN = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_AGAIN = "Log in to the cluster again, or name another context in the target."


def log_in(place: Kubernetes) -> tuple[Any, str, str]:
    """Return the client for a target, the name of the context, and the namespace.

    The kubeconfig is that of ``KUBECONFIG`` or ``~/.kube/config``; without one, in a pod, the
    pod's service account, whose context is called ``IN_CLUSTER``.

    Raises:
        LaunchError: The client is not installed, the kubeconfig cannot be used, or there is no
            such context.
    """
    try:
        import kubernetes  # noqa: F401
    except ImportError:
        raise LaunchError(
            "kubernetes", "the client is not installed.", "`pip install 'kdray[kubernetes]'`."
        ) from None
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    there = any(Path(file).expanduser().is_file() for file in files.split(os.pathsep) if file)
    if not there and place.context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return _from_pod(place)
    if not there:
        problem = f"there is no kubeconfig at {files}."
        raise LaunchError("kubernetes", problem, "Set KUBECONFIG, or log in to the cluster.")
    return _from_files(files, place)


def _from_pod(place: Kubernetes) -> tuple[Any, str, str]:
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_incluster_config(configuration)
    namespace = place.namespace or (_OWN.read_text().strip() if _OWN.exists() else "default")
    return _patient(client.ApiClient(configuration)), IN_CLUSTER, namespace


def _from_files(files: str, place: Kubernetes) -> tuple[Any, str, str]:
    import yaml
    from kubernetes import config
    from kubernetes.config.kube_config import KubeConfigMerger

    try:
        tree = KubeConfigMerger(files).config.value
        contexts = [context.value for context in tree["contexts"]]
        chosen = _chosen(files, place.context or str(tree.get("current-context") or ""), contexts)
        with _heard() as said:
            client = config.new_client_from_config(files, context=chosen["name"])
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        problem = f"cannot be used: {' '.join(str(error).split()).rstrip('.')}."
        raise LaunchError(files, problem, "Log in to the cluster.") from None
    except (AttributeError, KeyError, TypeError, ValueError):  # the client takes its form as given
        problem = "cannot be used: it has not the form of a kubeconfig."
        raise LaunchError(files, problem, "Log in to the cluster.") from None
    name = str(chosen["name"])
    if said and not _has_credentials(client.configuration):
        problem = f"its login gives no credentials: {said[-1]}."
        raise LaunchError(f"context {name}", problem, _AGAIN)
    host = str(client.configuration.host)
    if urlsplit(host).scheme not in ("http", "https"):
        problem = f"its server {host!r} is no address such as https://host:6443."
        raise LaunchError(f"context {name}", problem, f"Mend it in {files}.")
    namespace = place.namespace or chosen["context"].get("namespace") or "default"
    return _patient(client), name, str(namespace)


def _chosen(files: str, wanted: str, contexts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for context in contexts:
        if context["name"] == wanted:
            return context
    names = [str(context["name"]) for context in contexts]
    there = f"There are: {', '.join(names) or 'none'}."
    if not wanted:
        problem = "names no current context."
        raise LaunchError(files, problem, f"Name one as `context` in the target. {there}")
    near = difflib.get_close_matches(wanted, names, 1)
    remedy = f"Did you mean {near[0]!r}?" if near else there
    raise LaunchError("context", f"the kubeconfig has no context {wanted!r}.", remedy)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect the errors that the client logs: it goes on without credentials then."""

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(" ".join(record.getMessage().split()).rstrip("."))

    said: list[str] = []
    handler = Heard(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(handler)


def _has_credentials(configuration: Any) -> bool:
    return bool(configuration.api_key or configuration.cert_file or configuration.username)


def _patient(client: Any) -> Any:
    """Have a client try a lost connection once more, rather than urllib3's three times."""
    client.configuration.retries = 1
    return type(client)(configuration=client.configuration)
