"""Checks of manifests: KubeRay's schemas, the official client's models, and what pods promise.

Everything that Kubernetes would pass over in silence is a problem here, unknown keys first.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes.client
import pydantic
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]

_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_DNS_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
#: What lists and maps of the client's types hold.
_INNER = re.compile(r"(?:List\[|Dict\[str, )(.+)\]")
#: Longest names that KubeRay's operator takes.
_LONGEST = {"RayJob": 47, "RayService": 47, "RayCluster": 53}
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
#: The CRDs' rules (CEL), as Python: the value's own fields -> whether it is right.
_RULES: dict[str, Callable[[Any], bool]] = {
    "self == oldSelf": lambda value: True,  # of changes
    "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']": lambda value: (
        value in ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
    ),
    "!((has(self.onSuccess) || has(self.onFailure)) && has(self.deletionRules))": lambda value: (
        not (("onSuccess" in value or "onFailure" in value) and "deletionRules" in value)
    ),
    "((has(self.onSuccess) && has(self.onFailure)) || has(self.deletionRules))": lambda value: (
        {"onSuccess", "onFailure"} <= set(value) or "deletionRules" in value
    ),
    "!(has(self.jobStatus) && has(self.jobDeploymentStatus))": lambda value: (
        not {"jobStatus", "jobDeploymentStatus"} <= set(value)
    ),
    "has(self.jobStatus) || has(self.jobDeploymentStatus)": lambda value: bool(
        {"jobStatus", "jobDeploymentStatus"} & set(value)
    ),
}


def check(manifest: Mapping[str, Any]) -> None:
    """Fail where Kubernetes or KubeRay would refuse or overlook something of a manifest."""
    assert problems(manifest) == []


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """Return all problems of a manifest, each with its place."""
    version, kind = manifest.get("apiVersion", ""), manifest.get("kind", "")
    found = list(_metadata(kind, manifest.get("metadata", {})))
    if version == "ray.io/v1":
        found += _by_schema(manifest, kuberay_schema(kind), kind)
        found += _by_model(manifest.get("metadata", {}), "V1ObjectMeta", f"{kind}.metadata")
    else:
        model = core_model(version, kind)
        found += _by_model(manifest, model, kind) if model else [f"{version} {kind}: unknown"]
    for place, pod in pods_of(manifest, kind):
        found += _by_model(pod, "V1PodTemplateSpec", place)
        found += _pod(pod, place)
    return found


def core_model(version: str, kind: str) -> str | None:
    """Return the name of the official client's model of a kind."""
    name = f"{version.rpartition('/')[2].capitalize()}{kind}"
    return name if hasattr(kubernetes.client, name) else None


@functools.cache
def kuberay_schema(kind: str) -> dict[str, Any]:
    """Return KubeRay's own schema of a kind, or skip the test where it is not here."""
    folder = Path(os.environ.get("KDRAY_KUBERAY_CRDS", ROOT.parent / "shared" / "kuberay-crds"))
    file = folder / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        pytest.skip(f"no {file.name}: set KDRAY_KUBERAY_CRDS to the folder of KubeRay's CRDs")
    crd = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    (version,) = (one for one in crd["spec"]["versions"] if one["name"] == "v1")
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def pods_of(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pod templates anywhere in a manifest, with their places."""
    if isinstance(value, dict):
        if isinstance(value.get("spec"), dict) and "containers" in value["spec"]:
            yield place, value
            return
        for key, part in value.items():
            yield from pods_of(part, f"{place}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from pods_of(part, f"{place}[{index}]")


def _metadata(kind: str, metadata: Mapping[str, Any]) -> Iterator[str]:
    name = metadata.get("name", "")
    if not _DNS_NAME.fullmatch(name):
        yield f"{kind}.metadata.name: {name!r} is no name"
    if kind in _LONGEST and (len(name) > _LONGEST[kind] or not _DNS_1035.fullmatch(name)):
        yield f"{kind}.metadata.name: KubeRay refuses {name!r}"
    if kind == "Service" and (len(name) > 63 or not _DNS_1035.fullmatch(name)):
        yield f"{kind}.metadata.name: {name!r} is no name of a Service"
    yield from _labels(metadata, f"{kind}.metadata")


def _labels(metadata: Mapping[str, Any], place: str) -> Iterator[str]:
    for key, value in metadata.get("labels", {}).items():
        if not _KEY.fullmatch(key) or not _LABEL.fullmatch(value):
            yield f"{place}.labels: {key}: {value!r} is no label"
    for key, value in metadata.get("annotations", {}).items():
        if not _KEY.fullmatch(key) or not isinstance(value, str):
            yield f"{place}.annotations: {key}: {value!r} is no annotation"


def _by_schema(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield where a value breaks a CRD's schema; defaults count as given."""
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        right = isinstance(value, int | str) and not isinstance(value, bool)
        yield from () if right else [f"{place}: {value!r} is neither integer nor text"]
    elif not isinstance(value, _TYPES[str(kind)]) or (
        isinstance(value, bool) and kind in ("integer", "number")
    ):
        yield f"{place}: {value!r} is no {kind}"
        return
    yield from _limits(value, schema, place)
    if isinstance(value, dict):
        yield from _object(value, schema, place)
    elif isinstance(value, list):
        yield from _array(value, schema, place)
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _RULES[rule["rule"]](value):
            yield f"{place}: {rule['message']}"


def _limits(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{place}: {value} is below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{place}: {value} is above {schema['maximum']}"
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        yield f"{place}: {value!r} does not match {schema['pattern']}"
    if schema.get("format") == "int32" and not -(2**31) <= value < 2**31:
        yield f"{place}: {value} has more than 32 bits"
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield f"{place}: {value!r} is too long"


def _object(value: dict[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, part in value.items():
        if key in known:
            yield from _by_schema(part, known[key], f"{place}.{key}")
        elif isinstance(others, dict):
            yield from _by_schema(part, others, f"{place}.{key}")
        elif known and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{place}: there is no field {key}"
    for key in schema.get("required", ()):
        if key not in value and "default" not in known.get(key, {}):
            yield f"{place}: {key} is missing"


def _array(value: list[Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    for index, part in enumerate(value):
        yield from _by_schema(part, schema["items"], f"{place}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys:
        fields = schema["items"]["properties"]
        names = [
            tuple(part.get(key, fields[key].get("default")) for key in keys) for part in value
        ]
        yield from (f"{place}: {name} twice" for name, n in Counter(names).items() if n > 1)


def _by_model(value: Any, name: str, place: str) -> list[str]:
    """Return where a value is not what the official client's model of it says."""
    model = getattr(kubernetes.client, name)
    found = list(_unknown(value, name, place))
    try:
        model.model_validate(value, strict=True)
    except pydantic.ValidationError as error:
        for one in error.errors():
            found.append(f"{place}.{'.'.join(map(str, one['loc']))}: {one['msg']}")
    return found


def _unknown(value: Any, kind: str, place: str) -> Iterator[str]:
    """Yield keys that a model passes over."""
    inner = _INNER.fullmatch(kind)
    if inner and isinstance(value, list):
        for index, part in enumerate(value):
            yield from _unknown(part, inner[1], f"{place}[{index}]")
    elif inner and isinstance(value, dict):
        for key, part in value.items():
            yield from _unknown(part, inner[1], f"{place}.{key}")
    elif isinstance(value, dict) and hasattr(kubernetes.client, kind):
        model = getattr(kubernetes.client, kind)
        types = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        for key, part in value.items():
            if key in types:
                yield from _unknown(part, types[key], f"{place}.{key}")
            else:
                yield f"{place}: {kind} has no field {key}"


def _pod(pod: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what the models do not say of a pod: names that have to be there, once each."""
    spec = pod["spec"]
    yield from _labels(pod.get("metadata", {}), place)
    volumes = [volume["name"] for volume in spec.get("volumes", ())]
    yield from (f"{place}: volume {name} twice" for name, n in Counter(volumes).items() if n > 1)
    for volume in spec.get("volumes", ()):
        if len(volume) != 2 or not re.fullmatch(
            r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", volume["name"]
        ):
            yield f"{place}: {volume} is no volume with a name and one source"
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        yield from _container(container, volumes, f"{place}.{container.get('name')}")


def _container(container: Mapping[str, Any], volumes: list[str], place: str) -> Iterator[str]:
    mounts = container.get("volumeMounts", ())
    paths = Counter(mount["mountPath"] for mount in mounts)
    yield from (f"{place}: {path} is mounted twice" for path, n in paths.items() if n > 1)
    for mount in mounts:
        if mount["name"] not in volumes:
            yield f"{place}: there is no volume {mount['name']}"
    names = Counter(variable["name"] for variable in container.get("env", ()))
    yield from (f"{place}: variable {name} twice" for name, n in names.items() if n > 1)
    for variable in container.get("env", ()):
        if ("value" in variable) == ("valueFrom" in variable):
            yield f"{place}: variable {variable['name']} needs a value or a source"
    for port in container.get("ports", ()):
        if len(port.get("name", "")) > 15:
            yield f"{place}: the port name {port['name']} is longer than 15"


def open_doors(pod: Mapping[str, Any]) -> list[str]:
    """Return where a pod breaks the restricted Pod Security Standard, or can be changed."""
    spec = pod["spec"]
    common = spec.get("securityContext", {})
    found = []
    if common.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("seccompProfile")
    if not common.get("runAsNonRoot") or not common.get("runAsUser"):
        found.append("runAsNonRoot")
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [volume["name"] for volume in spec.get("volumes", ()) if "hostPath" in volume]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append(f"{container.get('name')}: privileges")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append(f"{container.get('name')}: capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append(f"{container.get('name')}: root file system")
    return found
