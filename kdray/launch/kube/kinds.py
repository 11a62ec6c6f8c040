"""The kinds of Kubernetes that kdray reads and applies, and where their API is."""

from __future__ import annotations

from urllib.parse import quote

_KUBERAY = "Install KubeRay's operator: see infra/README.md."
_KUEUE = "Install Kueue, or leave `queue` out of the target."
#: Kind -> version of the API in which kdray reads it, and its name in paths.
KINDS = {
    "RayJob": ("ray.io/v1", "rayjobs"),
    "RayCluster": ("ray.io/v1", "rayclusters"),
    "RayService": ("ray.io/v1", "rayservices"),
    "ConfigMap": ("v1", "configmaps"),
    "Event": ("v1", "events"),
    "Namespace": ("v1", "namespaces"),
    "Node": ("v1", "nodes"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Pod": ("v1", "pods"),
    "ResourceQuota": ("v1", "resourcequotas"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Deployment": ("apps/v1", "deployments"),
    "Job": ("batch/v1", "jobs"),
    "Ingress": ("networking.k8s.io/v1", "ingresses"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
    "PriorityClass": ("scheduling.k8s.io/v1", "priorityclasses"),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "GatewayClass": ("gateway.networking.k8s.io/v1", "gatewayclasses"),
    "LocalQueue": ("kueue.x-k8s.io/v1beta1", "localqueues"),
    "Workload": ("kueue.x-k8s.io/v1beta1", "workloads"),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "SelfSubjectAccessReview": ("authorization.k8s.io/v1", "selfsubjectaccessreviews"),
}
#: Versions of which a cluster may have the newer one alone.
NEWER = {"kueue.x-k8s.io/v1beta1": "kueue.x-k8s.io/v1beta2"}
#: Kinds that belong to no namespace.
_CLUSTER_WIDE = {
    "CustomResourceDefinition",
    "GatewayClass",
    "Namespace",
    "Node",
    "PriorityClass",
    "SelfSubjectAccessReview",
}
#: Kind -> what to install where a cluster does not know it.
DEFINED_BY = {
    "RayJob": _KUBERAY,
    "RayCluster": _KUBERAY,
    "RayService": _KUBERAY,
    "LocalQueue": _KUEUE,
    "Workload": _KUEUE,
    "HTTPRoute": "Install the Gateway API, or use `route: {kind: ingress}`.",
}


def path_of(kind: str, namespace: str = "", name: str = "", version: str = "") -> str:
    """Return the path of a kind's objects on an API server, or of one of them.

    Args:
        kind: One of ``KINDS``.
        namespace: Theirs; empty: all.
        name: Of one of them; empty: all.
        version: Of the API; empty: that in which kdray reads the kind.
    """
    known, plural = KINDS[kind]
    version = version or known
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = f"/namespaces/{namespace}" if namespace and kind not in _CLUSTER_WIDE else ""
    return f"{base}{inside}/{plural}" + (f"/{quote(name)}" if name else "")
