"""A small server that speaks the few endpoints of a Kubernetes API server that kdray asks."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]


@dataclass
class ApiServer:
    """What the server holds and what it was asked.

    Args:
        objects: Path -> object.
        answers: (method, pattern of the path) -> status and body that are answered instead.
        logs: Pod -> the pieces of its log, one list for each time it is asked for.
        denied: Resources that may not be touched, as access reviews say.
        asked: Method and path with query of every request.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    logs: dict[str, list[list[bytes]]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def put(self, *objects: Object) -> None:
        """Hold objects as they are."""
        for each in objects:
            self.objects[_path(each)] = each

    def holds(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [each for each in self.objects.values() if each["kind"] == kind]

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig with the contexts ``lab`` (current) and ``other``."""
        contexts = [
            {"name": name, "context": {"cluster": "here", "user": "alice", "namespace": "lab"}}
            for name in ("lab", "other")
        ]
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "alice", "user": {"token": "secret"}}],
            "contexts": contexts,
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(tree))
        return path

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        """Return status and body for a request."""
        url = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        for (verb, pattern), said in self.answers.items():
            if verb == method and re.fullmatch(pattern, url.path):
                return said
        if method == "PATCH":
            return 200, json.dumps(self._applied(url.path, json.loads(body), "dryRun" in query))
        if method == "POST":
            return 201, json.dumps(self._reviewed(json.loads(body)))
        if method == "DELETE":
            gone = self.objects.pop(url.path, None)
            return (200, "{}") if gone else _missing(url.path)
        return self._read(url.path, query)

    def _applied(self, path: str, manifest: Object, dry: bool) -> Object:
        before = self.objects.get(path)
        number = len(self.asked)
        metadata = {"creationTimestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"}
        metadata |= {"uid": str(uuid.uuid4())}
        metadata |= before["metadata"] if before else {}
        made = {**(before or {}), **manifest, "metadata": metadata | manifest["metadata"]}
        if not dry:
            self.objects[path] = made
        return made

    def _reviewed(self, review: Object) -> Object:
        wanted = review["spec"]["resourceAttributes"]
        name = wanted["resource"]
        return {**review, "status": {"allowed": name not in self.denied}}

    def _read(self, path: str, query: Mapping[str, str]) -> tuple[int, str]:
        if path in self.objects:
            return 200, json.dumps(self.objects[path])
        if path == "/version":
            return 200, json.dumps({"gitVersion": "v1.34.4"})
        if path == "/apis/ray.io/v1":
            kinds = [{"kind": kind} for kind in ("RayCluster", "RayJob", "RayService")]
            return 200, json.dumps({"resources": kinds})
        plural = path.rpartition("/")[2]
        if plural in _PLURALS:
            found = [
                {key: value for key, value in each.items() if key not in ("apiVersion", "kind")}
                for where, each in self.objects.items()
                if _is_listed(where, path, plural) and _matches(each, query)
            ]
            return 200, json.dumps({"metadata": {}, "items": found})
        return _missing(path)


_PLURALS = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Event": "events",
    "HTTPRoute": "httproutes",
    "Ingress": "ingresses",
    "LocalQueue": "localqueues",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "Node": "nodes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PriorityClass": "priorityclasses",
    "RayCluster": "rayclusters",
    "RayJob": "rayjobs",
    "RayService": "rayservices",
    "ResourceQuota": "resourcequotas",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Workload": "workloads",
}
_PLURALS |= {plural: kind for kind, plural in _PLURALS.items()}


def _path(each: Object) -> str:
    version = each["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = each["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{base}{inside}/{_PLURALS[each['kind']]}/{each['metadata']['name']}"


def _is_listed(where: str, path: str, plural: str) -> bool:
    folder = where.rpartition("/")[0]
    everywhere = re.sub(r"/namespaces/[^/]+(?=/)", "", folder)
    return path in (folder, everywhere) and folder.endswith(f"/{plural}")


def _matches(each: Object, query: Mapping[str, str]) -> bool:
    labels = each["metadata"].get("labels") or {}
    for word in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = word.partition("=")
        if labels.get(key) != value:
            return False
    wanted = query.get("fieldSelector", "").partition("=")[2]
    return not wanted or (each.get("involvedObject") or {}).get("name") == wanted


def _missing(path: str) -> tuple[int, str]:
    plural, name = path.rpartition("/")[0].rpartition("/")[2], path.rpartition("/")[2]
    if plural not in _PLURALS:
        return 404, "404 page not found\n"
    return 404, json.dumps(
        {
            "kind": "Status",
            "status": "Failure",
            "message": f'{plural} "{name}" not found',
            "reason": "NotFound",
            "details": {"name": name, "kind": plural},
            "code": 404,
        }
    )


@contextmanager
def serving(api: ApiServer) -> Iterator[ApiServer]:
    """Serve on a free port of this machine."""

    handler = type("Handler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    wbufsize = 2**16  # one packet an answer
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _do(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.api.asked.append((self.command, self.path))
        pod = re.fullmatch(r".*/pods/([^/]+)/log", urlsplit(self.path).path)
        if pod and pod[1] in self.api.logs:
            self._log(self.api.logs[pod[1]])
            return
        status, text = self.api.answer(self.command, self.path, body)
        sent = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_PATCH = do_POST = do_DELETE = _do

    def _log(self, answers: list[list[bytes]]) -> None:
        """Send a log in pieces; an empty one breaks the connection off."""
        pieces = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            if not piece:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(2)
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *words: Any) -> None:
        pass
