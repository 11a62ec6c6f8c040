"""Counts for Prometheus."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdray_serve.http.visit import Listener, Visit
from kdray_serve.meter import Answered, Meter
from kdray_serve.records.metrics import Metrics
from kdray_serve.work import Caller, Explained, Mapped, Predicted

CLASSES = ("glioma", "pituitary")
KEY = ("brain", 3)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(flag_above=0.9)


class Samples:
    """Values of all samples, by name and values of labels in any order."""

    def __init__(self, metrics: Metrics) -> None:
        families = text_string_to_metric_families(metrics.text().decode())
        samples = [sample for family in families for sample in family.samples]
        self._values = {
            (sample.name, frozenset(sample.labels.values())): sample.value for sample in samples
        }

    def __getitem__(self, key: tuple[str, ...]) -> float:
        return self._values[key[0], frozenset(key[1:])]

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return (key[0], frozenset(key[1:])) in self._values


def values(metrics: Metrics) -> Samples:
    return Samples(metrics)


def visit(status: int = 200, route: str = "/v1/models/{name}/predict") -> Visit:
    found = Visit("r1", "POST", "/v1/models/brain/predict", "127.0.0.1")
    found.route, found.model, found.status = route, KEY, status
    found.seconds, found.received, found.sent = 0.004, 100, 10
    return found


def predicted(place: int, ood_score: float | None) -> Predicted:
    shares = np.array([0.25, 0.25], np.float32)
    shares[place] = 0.75
    return Predicted(shares, shares, True, (0, 1), ood_score, (4, 4), "")


def answered(
    *said: Predicted, explained: Explained | None = None, is_canary: bool = False
) -> Answered:
    return Answered(
        caller=Caller("ward", frozenset(), "r1"),
        key=KEY,
        classes=CLASSES,
        weights_sha256="",
        route="predict" if explained is None else "explain",
        images=(),
        predicted=said,
        explained=explained,
        seconds=0.01,
        is_canary=is_canary,
        when=0.0,
    )


def test_it_is_the_meter_of_the_desk_and_a_listener_of_the_gate(metrics: Metrics) -> None:
    meter: Meter = metrics
    listener: Listener = metrics
    assert meter is listener


def test_requests_are_counted_by_route_and_status(metrics: Metrics) -> None:
    for status in (200, 200, 503):
        metrics.finished(visit(status))
    found = values(metrics)
    route = "/v1/models/{name}/predict"
    assert found["kdray_requests_total", route, "200"] == 2
    assert found["kdray_requests_total", route, "503"] == 1
    assert found["kdray_request_seconds_count", route, "brain@3"] == 3
    assert found["kdray_request_seconds_bucket", route, "brain@3", "0.005"] == 3
    assert found["kdray_request_seconds_bucket", route, "brain@3", "0.0025"] == 0
    assert found[("kdray_received_bytes_total",)] == 300


def test_addresses_without_a_route_share_a_label(metrics: Metrics) -> None:
    for _ in range(2):
        metrics.finished(visit(404, route=""))
    assert values(metrics)["kdray_requests_total", "none", "404"] == 2


def test_images_are_counted_by_class_canary_and_likeness(metrics: Metrics) -> None:
    metrics.answered(answered(predicted(0, 0.2), predicted(0, 0.95), predicted(1, None)))
    metrics.answered(answered(predicted(1, 0.1), is_canary=True))
    found = values(metrics)
    assert found["kdray_predictions_total", "brain@3", "glioma"] == 2
    assert found["kdray_predictions_total", "brain@3", "pituitary"] == 2
    assert found["kdray_images_total", "brain@3", "predict", "yes"] == 1
    assert found["kdray_images_total", "brain@3", "predict", "no"] == 3
    assert found["kdray_ood_images_total", "brain@3", "yes"] == 1
    assert found["kdray_ood_images_total", "brain@3", "no"] == 2
    assert found["kdray_set_classes_bucket", "brain@3", "2.0"] == 4


def test_blank_and_replaced_explanations_are_counted(metrics: Metrics) -> None:
    maps = np.full((2, 2, 2), np.nan, np.float32)
    mapped = Mapped("scorecam_fast", (0, 1), maps, {0: "why", 1: "why"}, None, 1.0, 1)
    said = Explained(predicted(0, None), mapped, np.zeros((2, 2, 1), np.uint8), "too slow")
    metrics.answered(answered(predicted(0, None), explained=said))
    found = values(metrics)
    assert found["kdray_blank_maps_total", "brain@3", "scorecam_fast"] == 2
    assert found["kdray_replaced_total", "brain@3", "scorecam_fast"] == 1


def test_the_work_of_the_desk_is_counted(metrics: Metrics) -> None:
    metrics.batch(KEY, 8, 0.02)
    metrics.queue("predictions", 7)
    metrics.limit("predictions", 64)
    metrics.refused("explanations", 503)
    metrics.explained(KEY, "gradcam", 0.3)
    metrics.loaded(KEY, "onnxruntime", 1.5)
    metrics.memory(2, 1000)
    metrics.switched(KEY)
    metrics.switch_failed("brain")
    found = values(metrics)
    assert found["kdray_batch_images_sum", "brain@3"] == 8
    assert found["kdray_queue_requests", "predictions"] == 7
    assert found["kdray_queue_limit", "predictions"] == 64
    assert found["kdray_refused_total", "explanations", "503"] == 1
    assert found["kdray_explain_seconds_count", "brain@3", "gradcam"] == 1
    assert found["kdray_model_load_seconds_sum", "brain@3", "onnxruntime"] == 1.5
    assert (found[("kdray_models_loaded",)], found[("kdray_model_bytes",)]) == (2, 1000)
    assert found["kdray_switches_total", "brain", "switched"] == 1
    assert found["kdray_switches_total", "brain", "failed"] == 1


def test_a_shadow_without_a_difference_is_counted_all_the_same(metrics: Metrics) -> None:
    metrics.shadowed(KEY, "same", 0.001)
    metrics.shadowed(KEY, "failed", math.nan)
    found = values(metrics)
    assert found["kdray_shadow_total", "brain@3", "same"] == 1
    assert found["kdray_shadow_total", "brain@3", "failed"] == 1
    assert found["kdray_shadow_difference_count", "brain@3"] == 1


def test_two_services_of_a_process_count_apart(metrics: Metrics) -> None:
    metrics.switched(KEY)
    assert ("kdray_switches_total", "brain", "switched") not in values(Metrics())


COUNT = """\
from kdray_serve.records.metrics import Metrics
metrics = Metrics()
metrics.switched(("brain", 3))
metrics.memory(5, 1000)
"""
SHOW = """\
from kdray_serve.records.metrics import Metrics
metrics = Metrics()
metrics.ready(True)
metrics.memory(1, 10)
print(metrics.text().decode())
"""


def test_processes_that_share_a_folder_are_shown_as_one_without_the_dead(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    shown = ""
    for code in (COUNT, COUNT, SHOW):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        shown = done.stdout
    assert 'kdray_switches_total{model="brain",outcome="switched"} 2.0' in shown
    assert "kdray_build" in shown
    assert "kdray_models_loaded 1.0" in shown
    assert "kdray_ready 1.0" in shown
