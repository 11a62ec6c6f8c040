"""Monitoring of clusters: rules and dashboard name only what Ray and KubeRay's operator count."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
PROMETHEUS = INFRA / "prometheus"
#: What KubeRay's operator counts (1.6.0), with the labels.
KUBERAY = {
    "kuberay_cluster_provisioned_duration_seconds": {"name", "namespace", "uid"},
    "kuberay_job_execution_duration_seconds": {
        "name",
        "namespace",
        "uid",
        "job_deployment_status",
        "retry_count",
    },
    "kuberay_job_deployment_status": {"name", "namespace", "uid", "deployment_status"},
    "kuberay_service_info": {"name", "namespace", "uid"},
    "kuberay_service_condition_ready": {"name", "namespace", "uid", "condition"},
    "kuberay_service_condition_upgrade_in_progress": {"name", "namespace", "uid", "condition"},
}
#: States that KubeRay's operator gives a RayJob.
STATES = {
    "Initializing",
    "Running",
    "Complete",
    "Failed",
    "ValidationFailed",
    "Suspending",
    "Suspended",
    "Retrying",
    "Waiting",
}
SERIES = r"\b(kuberay_\w+|ray_\w+)(?=[{)\[ ]|$)(?:\{([^}]*)\})?"


def alerts() -> list[dict[str, Any]]:
    file = PROMETHEUS / "kdray-cluster-alerts.yaml"
    return [
        rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
    ]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INFRA / "grafana" / "kdray-cluster.json").read_text())
    return found


def scrapes() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load((PROMETHEUS / "kdray-cluster-scrape.yaml").read_text())
    return {job["job_name"]: job for job in found["scrape_configs"]}


def expressions() -> list[Any]:
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            found.append((f"{panel['title']} {target['refId']}", target["expr"]))
    return [pytest.param(expression, id=name) for name, expression in found]


def ray_metrics() -> str:
    """Return the source of what Ray's nodes count, and of Ray's own dashboard."""
    ray = importlib.util.find_spec("ray")
    assert ray
    assert ray.origin
    modules = Path(ray.origin).parent / "dashboard" / "modules"
    files = [
        modules / "reporter" / "reporter_agent.py",
        *(modules / "metrics" / "dashboards").glob("*.py"),
    ]
    return "\n".join(file.read_text() for file in files)


RAY = ray_metrics()


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_what_is_counted(expression: str) -> None:
    named = re.findall(SERIES, expression)
    assert named or "up{" in expression
    for name, selected in named:
        if name.startswith("kuberay_"):
            labels = set(re.findall(r"(\w+)\s*=~?", selected))
            assert labels <= KUBERAY[name], name
        elif name != "ray_cluster":  # a label
            bare = name.removeprefix("ray_")
            assert f'"{bare}"' in RAY or name in RAY, name


@pytest.mark.parametrize("expression", expressions())
def test_a_state_of_jobs_is_one_that_there_is(expression: str) -> None:
    for states in re.findall(r'deployment_status=~?"([^"]*)"', expression):
        assert set(states.split("|")) <= STATES


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in alerts()])
def test_an_alert_says_what_to_do_and_names_labels_that_it_has(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "action"}
    used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    kept = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))))
    assert used <= kept


def test_what_is_scraped_is_what_pods_offer() -> None:
    from kdray.launch.kube import network
    from kdray.launch.kube.cluster import HEAD_PORTS

    assert ("metrics", network.RAY_METRICS_PORT) in HEAD_PORTS
    assert scrapes()["ray"]["relabel_configs"][0]["regex"] == f"metrics;{network.RAY_METRICS_PORT}"
    assert scrapes()["kdray"]["relabel_configs"][0]["regex"] == "kdray-metrics"


def test_alerts_ask_for_jobs_that_are_scraped() -> None:
    named = {name for rule in alerts() for name in re.findall(r'up\{job="(\w+)"\}', rule["expr"])}
    assert named <= set(scrapes())


def test_prometheus_is_told_to_load_the_files_that_are_mounted() -> None:
    values = yaml.safe_load((INFRA / "helm" / "prometheus.yaml").read_text())
    loaded = [*values["scrapeConfigFiles"], *values["serverFiles"]["prometheus.yml"]["rule_files"]]
    assert {Path(path).name for path in loaded} == {
        "kdray-cluster-scrape.yaml",
        "kdray-alerts.yaml",
        "kdray-cluster-alerts.yaml",
    }
    readme = (INFRA / "README.md").read_text()
    assert all(f"infra/prometheus/{Path(path).name}" in readme for path in loaded)
