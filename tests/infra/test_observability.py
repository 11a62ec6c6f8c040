"""Dashboard and alert rules: they name only metrics and labels that the service has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from kdray_serve.records.metrics import Metrics

INFRA = Path(__file__).resolve().parents[2] / "infra"
ALERTS = INFRA / "prometheus" / "kdray-alerts.yaml"
#: What Prometheus itself adds.
ADDED = {"job", "instance", "le"}
SUFFIXES = {Counter: ("",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
WORD = r"[a-zA-Z_][a-zA-Z0-9_]*"


def known() -> dict[str, set[str]]:
    """Return name of each series -> its labels."""
    found = {}
    for metric in vars(Metrics()).values():
        if isinstance(metric, tuple(SUFFIXES)):
            [family] = metric.describe()
            total = "_total" if isinstance(metric, Counter) else ""
            for suffix in SUFFIXES[type(metric)]:
                found[f"{family.name}{total}{suffix}"] = set(metric._labelnames) | ADDED
    return {**found, "up": ADDED}


SERIES = known()


def alerts() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INFRA / "grafana" / "kdray-serve.json").read_text())
    return found


def expressions() -> list[Any]:
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "5m")
            found.append((f"{panel['title']} {target['refId']}", expression))
    found.append(("annotation", dashboard()["annotations"]["list"][0]["expr"]))
    return [pytest.param(expression, id=name) for name, expression in found]


def selected(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each series of an expression, with the labels that it is selected by."""
    for match in re.finditer(r"\b(kdray_\w+|up)\b(?:\{([^}]*)\})?", expression):
        yield match[1], set(re.findall(rf"({WORD})\s*(?:=~|!~|!=|=)", match[2] or ""))


def grouped(expression: str) -> set[str]:
    lists = re.findall(r"\b(?:by|on|group_left|ignoring|without)\s*\(([^)]*)\)", expression)
    return {word for names in lists for word in re.findall(WORD, names)}


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_series_and_labels_that_there_are(expression: str) -> None:
    series = list(selected(expression))
    assert series
    for name, labels in series:
        assert name in SERIES
        assert labels <= SERIES[name], name
    assert grouped(expression) <= set.union(*(SERIES[name] for name, _ in series))


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_is_well_formed(expression: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', expression)
    for opening, closing in ("()", "{}", "[]"):
        depth = 0
        for letter in bare:
            depth += (letter == opening) - (letter == closing)
            assert depth >= 0
        assert depth == 0
    assert bare.count('"') % 2 == 0
    for name, _ in selected(bare):
        if name.endswith(("_total", "_bucket", "_sum", "_count")):  # a counter alone says nothing
            assert re.search(rf"(rate|increase|changes)\({name}(\{{[^}}]*\}})?\[", bare), name


def test_there_are_alerts_for_what_must_not_go_unseen() -> None:
    named = {name for rule in alerts() for name, _ in selected(rule["expr"])}
    assert {
        "up",
        "kdray_ready",
        "kdray_requests_total",
        "kdray_request_seconds_bucket",
        "kdray_queue_requests",
        "kdray_ood_images_total",
        "kdray_predictions_total",
        "kdray_switches_total",
        "kdray_audit_failures",
    } <= named


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in alerts()])
def test_an_alert_says_what_to_do_and_names_labels_that_it_has(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "action"}
    used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used <= grouped(rule["expr"]) | ADDED


def test_all_metrics_are_on_the_dashboard_or_in_an_alert() -> None:
    shown = {name for param in expressions() for name, _ in selected(param.values[0])}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES}
    assert there - families == {"kdray_build"}


def test_the_scrape_example_loads_the_alerts() -> None:
    found = yaml.safe_load((INFRA / "prometheus" / "kdray-scrape.yaml").read_text())
    assert found["rule_files"] == [ALERTS.name]
    [job] = found["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("kdray", "/metrics")


def test_the_alerts_fire_on_made_up_counts() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    tests = sorted((INFRA / "prometheus").glob("*.test.yaml"))
    assert tests
    done = subprocess.run([promtool, "test", "rules", *tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
