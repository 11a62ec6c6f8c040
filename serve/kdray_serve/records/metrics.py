"""Counts for Prometheus: requests, answers, queues, models, explanations, feedback.

Values of labels come from the application, the service's spec and the packages, never from a
request. Where ``PROMETHEUS_MULTIPROC_DIR`` names a folder before this module is imported, all
processes of the machine that share it are shown as one.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector

from kdray import __version__
from kdray.served.cluster import METRICS_FOLDER
from kdray_serve.http.visit import Visit
from kdray_serve.meter import Answered, LineName, Outcome
from kdray_serve.work import Explained, Key, Predicted

Metric = TypeVar("Metric", Counter, Gauge, Histogram)
MEDIA_TYPE = CONTENT_TYPE_LATEST
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)
_SECONDS = (*_FAST, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SCORES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_DIFFERENCES = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Metrics:
    """The counts of one process: the meter of the gate, of the desk and of feedback.

    Args:
        flag_above: Score from which on an image counts as unlike the training images.
    """

    def __init__(self, flag_above: float = 0.99) -> None:
        self._flag_above = flag_above
        # Else each counter has a second series, which no query needs.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._children: dict[tuple[Any, ...], Any] = {}
        self._add_requests()
        self._add_answers()
        self._add_models()
        self._add_records()

    def text(self) -> bytes:
        """Return all counts in the text format of Prometheus."""
        return shared_text() if METRICS_FOLDER in os.environ else generate_latest(self._registry)

    def close(self) -> None:
        """Take this process's part out of what its machine has now: queues, models in memory."""
        if METRICS_FOLDER in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    def finished(self, visit: Visit) -> None:
        """Count a request that is over."""
        route = visit.route or "none"
        model = _named(visit.model) if visit.model is not None else ""
        self._at(self._requests, route, visit.status).inc()
        self._at(self._request_seconds, route, model).observe(visit.seconds)
        self._received.inc(visit.received)
        self._sent.inc(visit.sent)

    def answered(self, answered: Answered) -> None:
        """Count what was answered."""
        model = _named(answered.key)
        canary = "yes" if answered.is_canary else "no"
        self._at(self._images, model, answered.route, canary).inc(len(answered.predicted))
        for predicted in answered.predicted:
            self._predicted(model, answered.classes, predicted)
        if answered.explained is not None:
            self._mapped(model, answered.explained)

    def batch(self, key: Key, images: int, seconds: float) -> None:
        """Note images that went through a model together."""
        self._at(self._batch_images, _named(key)).observe(images)
        self._at(self._batch_seconds, _named(key)).observe(seconds)

    def queue(self, line: LineName, requests: int) -> None:
        """Note how many requests wait or run."""
        self._at(self._queue, line).set(requests)

    def limit(self, line: LineName, requests: int) -> None:
        """Note how many requests may wait or run."""
        self._at(self._queue_limit, line).set(requests)

    def refused(self, line: LineName, status: int) -> None:
        """Note a request that was refused for load (503) or time (504)."""
        self._at(self._refused, line, status).inc()

    def explained(self, key: Key, method: str, seconds: float) -> None:
        """Note an explanation, decoding and prediction included."""
        self._at(self._explain_seconds, _named(key), method).observe(seconds)

    def loaded(self, key: Key, runtime: str, seconds: float) -> None:
        """Note a model that was loaded and warmed up."""
        self._at(self._load_seconds, _named(key), runtime).observe(seconds)

    def memory(self, models: int, bytes_: int) -> None:
        """Note how many models are loaded, and what they take."""
        self._models_loaded.set(models)
        self._model_bytes.set(bytes_)

    def switched(self, key: Key) -> None:
        """Note a version that now answers in place of another."""
        self._at(self._switches, key[0], "switched").inc()

    def switch_failed(self, name: str) -> None:
        """Note a new version, or a registry, that could not be used."""
        self._at(self._switches, name, "failed").inc()

    def shadowed(self, key: Key, outcome: Outcome, difference: float) -> None:
        """Note an answer of the shadow version."""
        self._at(self._shadow, _named(key), outcome).inc()
        if math.isfinite(difference):
            self._at(self._shadow_difference, _named(key)).observe(difference)

    def feedback(self, model: str, is_right: bool | None) -> None:
        """Note the right label of an answer.

        Args:
            model: Name and version as ``name@version``; empty where the answer is not known.
            is_right: Whether the answer was the label; None where the answer is not known.
        """
        verdict = {True: "right", False: "wrong", None: "unknown"}[is_right]
        self._at(self._feedback, model, verdict).inc()

    def audit(self, waiting: int, failures: int) -> None:
        """Note the state of the audit log: lines that wait, and how often they were refused."""
        self._audit_waiting.set(waiting)
        self._audit_failures.set(failures)

    def ready(self, is_ready: bool) -> None:
        """Note whether predictions and explanations would be answered now."""
        self._ready.set(is_ready)

    def _at(self, metric: Metric, *labels: str | int) -> Metric:
        """Return a metric's part for some labels: looked up here, that is a third of the time."""
        key = (metric, *labels)
        child: Metric | None = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def _predicted(self, model: str, classes: tuple[str, ...], predicted: Predicted) -> None:
        self._at(self._predictions, model, classes[predicted.place]).inc()
        if predicted.ood_score is not None:
            flag = "yes" if predicted.ood_score > self._flag_above else "no"
            self._at(self._ood_images, model, flag).inc()
            self._at(self._ood_score, model).observe(predicted.ood_score)
        if predicted.prediction_set is not None:
            self._at(self._set_classes, model).observe(len(predicted.prediction_set))

    def _mapped(self, model: str, explained: Explained) -> None:
        method = explained.mapped.method
        if explained.mapped.reasons:
            self._at(self._blank_maps, model, method).inc(len(explained.mapped.reasons))
        if explained.replaced:
            self._at(self._replaced, model, method).inc()

    def _add_requests(self) -> None:
        self._requests = self._counter(
            "requests", "Requests that are over; 499: the client went away.", "route", "status"
        )
        self._request_seconds = self._histogram(
            "request_seconds", "From a request's arrival to the end of its answer.", _SECONDS,
            "route", "model",
        )  # fmt: skip
        self._received = self._counter("received_bytes", "Bytes of the bodies of requests.")
        self._sent = self._counter("sent_bytes", "Bytes of the bodies of answers.")
        self._queue = self._gauge(
            "queue_requests", "Requests that wait or run in a process.", "line", mode="livemax"
        )
        self._queue_limit = self._gauge(
            "queue_limit", "Requests that may do so; more are refused.", "line", mode="livemax"
        )
        self._refused = self._counter(
            "refused", "Requests refused for load (503) or time (504).", "line", "status"
        )
        self._ready = self._gauge(
            "ready", "1 where requests would be answered.", mode="livemostrecent"
        )
        self._build = self._gauge("build", "1; the label tells what runs.", "version", mode="max")
        self._build.labels(__version__).set(1)

    def _add_answers(self) -> None:
        self._images = self._counter(
            "images", "Images that were answered.", "model", "route", "canary"
        )
        self._predictions = self._counter(
            "predictions", "Images by their predicted class.", "model", "class"
        )
        self._ood_images = self._counter(
            "ood_images", "Images by whether they are unlike the training images.", "model", "flag"
        )
        self._ood_score = self._histogram(
            "ood_score", "Share of validation images nearer to the training images.", _SCORES,
            "model",
        )  # fmt: skip
        self._set_classes = self._histogram(
            "set_classes", "Classes in the prediction set.", (0, *_SIZES[:6]), "model"
        )
        self._explain_seconds = self._histogram(
            "explain_seconds", "Explanations, decoding and prediction included.", _SECONDS,
            "model", "method",
        )  # fmt: skip
        self._blank_maps = self._counter(
            "blank_maps", "Maps that show nothing.", "model", "method"
        )
        self._replaced = self._counter(
            "replaced", "Explanations by a faster method than was asked for.", "model", "method"
        )

    def _add_models(self) -> None:
        self._batch_images = self._histogram(
            "batch_images", "Images of a forward pass.", _SIZES, "model"
        )
        self._batch_seconds = self._histogram(
            "batch_seconds", "Time of a batch: decoding and forward pass.", _SECONDS, "model"
        )
        self._load_seconds = self._histogram(
            "model_load_seconds", "Loading and warming up a model.", _SECONDS, "model", "runtime"
        )
        self._models_loaded = self._gauge("models_loaded", "Models in memory.")
        self._model_bytes = self._gauge("model_bytes", "What the loaded models take.")
        self._switches = self._counter(
            "switches", "New versions that answer now, or could not be used.", "model", "outcome"
        )
        self._shadow = self._counter(
            "shadow", "Answers of the shadow version, compared.", "model", "outcome"
        )
        self._shadow_difference = self._histogram(
            "shadow_difference", "Largest difference of a probability to the shadow version.",
            _DIFFERENCES, "model",
        )  # fmt: skip

    def _add_records(self) -> None:
        self._feedback = self._counter(
            "feedback", "Right labels that users sent.", "model", "verdict"
        )
        self._audit_waiting = self._gauge(
            "audit_waiting_lines", "Lines of the audit log that are not written yet."
        )
        self._audit_failures = self._gauge(
            "audit_failures", "How often the storage has refused lines of the audit log."
        )
        if METRICS_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"kdray_{name}_total", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str, mode: str = "livesum") -> Gauge:
        return Gauge(
            f"kdray_{name}",
            text,
            labels,
            registry=self._registry,
            multiprocess_mode=mode,  # type: ignore[arg-type]
        )

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"kdray_{name}", text, labels, registry=self._registry, buckets=buckets)


def shared_text() -> bytes:
    """Return the counts of all processes that share a folder, in the text format of Prometheus.

    Raises:
        KeyError: ``PROMETHEUS_MULTIPROC_DIR`` is not set.
    """
    _forget_the_dead(Path(os.environ[METRICS_FOLDER]))
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return generate_latest(shared)


def _forget_the_dead(folder: Path) -> None:
    """Take processes that were killed out of what the machine has now; what they counted stays."""
    for pid in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            mark_process_dead(int(pid))  # type: ignore[no-untyped-call]
        except PermissionError:
            pass  # somebody else's, so it lives


def _named(key: Key) -> str:
    return f"{key[0]}@{key[1]}"
