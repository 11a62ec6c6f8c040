"""The service under load, against bare servers of the same model, side by side in one run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kdray.bench._chaos import Chaos, chaos_rows
from kdray.bench._servers import Servers, Site
from kdray.bench._shelved import add_version, calibrated, shelf_name
from kdray.bench._table import Row
from kdray.bench._timing import Spread, Times, alternate, ratios, spread
from kdray.bench._uploads import ask, drawn_files, post
from kdray.infer import Predictor
from kdray.registry import Registry

SMALL, LARGE = "mobilenetv3_small", "ofa_595"
BASELINES = "kdray_serve.baselines"
#: Connections that requests at random moments may take.
_MANY = 64
_SIZE = 224


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Args:
        kinds: Of ``KINDS``; none: all.
        seconds: Of each measurement.
        rounds: Measurements of each server.
        chaos_minutes: How long replicas are killed, one a minute; 0: not at all.
        models: Small and large model; None: those of the bars.
        image_size: Height and width that the models see, pixels.
    """

    kinds: tuple[str, ...] = ()
    seconds: float = 3.0
    rounds: int = 7
    chaos_minutes: float = 0.0
    models: tuple[str, str] = (SMALL, LARGE)
    image_size: int = _SIZE

    def quick(self) -> Asked:
        """Return the same in a short form that shows whether it works."""
        return replace(
            self, seconds=0.5, rounds=2, models=("cnn5", "mobilenetv3_small"), image_size=64
        )


def serve(asked: Asked, tell: Callable[[str], None] = lambda text: None) -> list[Row]:
    """Return what the service does under load.

    Args:
        asked: What is measured.
        tell: Told what comes next.

    Raises:
        RunError: A server does not start or does not answer.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kdray-bench-")))
        servers = stack.enter_context(Servers(tell))
        measure = Measure(asked, servers, folder, tell)
        found: list[Row] = []
        for kind in asked.kinds or KINDS:
            found += ROWS[kind](measure)
        return found


SMALL_PLACE, LARGE_PLACE = 0, 1


class Measure:
    """Asks servers in turns.

    Args:
        asked: What is measured.
        servers: Those that run.
        folder: Where registry and specs are written.
        tell: Told what comes next.
    """

    def __init__(
        self, asked: Asked, servers: Servers, folder: Path, tell: Callable[[str], None]
    ) -> None:
        self.asked = asked
        self.servers = servers
        self.tell = tell
        self.files = drawn_files(8)
        self.registry = Registry(str(folder / "registry"))
        self._folder = folder
        self._packages = dict(self._written())

    def kdray(self, place: int, edge: bool = False, replicas: int = 1) -> Site:
        """Return the service with one model, on Ray Serve or without."""
        model = shelf_name(self.asked.models[place])
        spec = self._spec(model, replicas)
        where = "--edge" if edge else f"on Ray Serve, replicas: {replicas}"
        return Site(
            f"kdray {where}, {self.asked.models[place]}",
            "kdray_serve",
            ("--config", str(spec), "--port", "{port}", *(["--edge"] if edge else [])),
            f"/v1/models/{model}/predict",
        )

    def bare(self, name: str, module: str, *options: str, place: int | None = None) -> Site:
        """Return a small server, of a model if a place is given."""
        package = [] if place is None else ["--package", str(self._packages[place])]
        name = name if place is None else f"{name}, {self.asked.models[place]}"
        return Site(name, f"{BASELINES}.{module}", ("--port", "{port}", *package, *options))

    def rates(self, sites: Sequence[Site]) -> Times:
        """Return the seconds for an answer with 8 clients, of servers in turns."""
        return self._alternate({site.name: self._busy(site) for site in sites})

    def percentiles(self, calls: Mapping[str, Callable[[], float]]) -> Times:
        """Return what calls return, in turns."""
        return self._alternate(calls)

    def asking(
        self,
        site: Site,
        share: float,
        clients: int = 1,
        rate: float | None = None,
        verb: str = "predict",
        **fields: str,
    ) -> Callable[[], float]:
        """Return what asks a server for a while and returns a percentile, seconds."""
        path = site.path.removesuffix("predict") + verb
        requests = [post(path, file, **fields) for file in self.files]

        def measured() -> float:
            found = ask(self.servers.alone(site), requests, self.asked.seconds, clients, rate)
            return found.percentile(share) / 1000

        return measured

    def chaos(self) -> Chaos:
        """Return what is done to the service of the small model."""
        model = shelf_name(self.asked.models[SMALL_PLACE])
        expected = {number: self._expected(model, number) for number in (1, 2)}
        return Chaos(self.asked.chaos_minutes, self.registry, model, self.files, expected)

    def _expected(self, model: str, version: int) -> list[dict[str, float]]:
        """Return what a version says of the files, worked out by PyTorch in this process."""
        folder = self.registry.fetch(model, version)
        predictor = Predictor(folder)
        logits = predictor.logits(np.stack([predictor.decode(file) for file in self.files]))
        shares = calibrated(folder, logits)
        return [
            dict(zip(predictor.package.classes, map(float, row), strict=True)) for row in shares
        ]

    def _busy(self, site: Site) -> Callable[[], float]:
        requests = [post(site.path, file) for file in self.files]

        def measured() -> float:
            found = ask(self.servers.alone(site), requests, self.asked.seconds)
            return 1 / found.rate

        return measured

    def _alternate(self, variants: Mapping[str, Callable[[], float]]) -> Times:
        self.tell(", ".join(variants))
        return alternate(variants, self.asked.rounds)

    def _written(self) -> list[tuple[int, Path]]:
        self.tell("packages")
        size = self.asked.image_size
        packages = [
            (place, add_version(self.registry, model, size, 1, self._folder))
            for place, model in enumerate(self.asked.models)
        ]
        add_version(self.registry, self.asked.models[SMALL_PLACE], size, 2, self._folder)
        return packages

    def _spec(self, model: str, replicas: int) -> Path:
        file = self._folder / f"{model}-{replicas}.json"
        spec: dict[str, Any] = {
            "apiVersion": "kdray/v1",
            "kind": "Service",
            "name": model,
            "registry": self.registry.uri,
            "storage": str(self._folder / "runs"),
            "models": [model],
            "auth": "none",
            "explain": ["gradcam"],
            "autoscaling": {"min_replicas": replicas, "max_replicas": replicas},
        }
        file.write_text(json.dumps(spec), encoding="utf-8")
        return file


def _large_rows(measure: Measure) -> list[Row]:
    ours = measure.kdray(LARGE_PLACE)
    bare = measure.bare("FastAPI + ONNX Runtime", "fastapi_onnx", place=LARGE_PLACE)
    pooled = measure.bare("the same in a pool of threads", "fastapi_onnx", "--pool", place=1)
    times = measure.rates([ours, bare, pooled])
    what = f"{measure.asked.models[LARGE_PLACE]}: predictions/s, Ray Serve"
    found = [
        _ratio(f"{what} / bare FastAPI + ONNX Runtime", times, ours, bare, 0.6),
        _ratio(f"{what} / the same in a pool of threads", times, ours, pooled),
    ]
    measure.servers.drop([ours, bare, pooled])
    return found


def _ray_rows(measure: Measure) -> list[Row]:
    ours = measure.kdray(SMALL_PLACE)
    ceiling = measure.bare("Ray Serve without a model", "ray_empty", "--decode", "--tuned")
    empty = measure.bare("Ray Serve that only reads", "ray_empty", "--tuned")
    usual = measure.bare("the same as Ray comes", "ray_empty", "--decode")
    plain = measure.bare("plain Ray Serve + ONNX Runtime", "ray_onnx", place=SMALL_PLACE)
    times = measure.rates([ours, ceiling, empty, usual, plain])
    model = measure.asked.models[SMALL_PLACE]
    what = f"{model}: predictions/s, Ray Serve"
    note = "an endpoint that decodes and resizes the upload, and has no model"
    found = [
        _ratio(f"{what} / empty Ray Serve endpoint", times, ours, ceiling, 0.85, note),
        _ratio(f"{what} / the same endpoint with Ray's own settings", times, ours, usual),
        _ratio(f"{what} / Ray Serve that does not look at the upload", times, ours, empty),
        _ratio(f"{what} / plain Ray Serve + ONNX Runtime", times, ours, plain),
    ]
    measure.servers.drop([ceiling, empty, usual, plain])
    bare = measure.bare("FastAPI + ONNX Runtime", "fastapi_onnx", place=SMALL_PLACE)
    rate = 0.5 / spread(times[ours.name]).median
    found += _tail_rows(measure, f"{model}, Ray Serve", (ours, bare), rate)
    found += _explain_rows(measure, f"{model}, Ray Serve", ours)
    found.append(_start_row(measure, f"{model}, Ray Serve", ours))
    return found


def _edge_rows(measure: Measure) -> list[Row]:
    ours = measure.kdray(SMALL_PLACE, edge=True)
    eager = measure.bare("FastAPI + torch eager", "fastapi_torch", place=SMALL_PLACE)
    ceiling = measure.bare("FastAPI without a model", "fastapi_empty", "--decode")
    empty = measure.bare("FastAPI that only reads", "fastapi_empty")
    bare = measure.bare("FastAPI + ONNX Runtime", "fastapi_onnx", place=SMALL_PLACE)
    ray = measure.kdray(SMALL_PLACE)
    times = measure.rates([ours, eager, ceiling, empty, bare, ray])
    model = measure.asked.models[SMALL_PLACE]
    what = f"{model}: predictions/s, --edge"
    note = "an endpoint that decodes and resizes the upload, and has no model"
    found = [
        _ratio(f"{what} / FastAPI + torch eager", times, ours, eager, 4),
        _ratio(f"{what} / empty FastAPI endpoint", times, ours, ceiling, 0.65, note),
        _ratio(f"{what} / FastAPI that does not look at the upload", times, ours, empty),
        _ratio(f"{what} / FastAPI + ONNX Runtime", times, ours, bare),
        _ratio(f"{what} / Ray Serve", times, ours, ray, 3),
    ]
    measure.servers.drop([eager, ceiling, empty])
    rate = 0.5 / spread(times[ours.name]).median
    found += _tail_rows(measure, f"{model}, --edge", (ours, bare), rate)
    found += _explain_rows(measure, f"{model}, --edge", ours)
    found.append(_start_row(measure, f"{model}, --edge", ours))
    memory = _one(measure.servers.alone(ours).memory_mb())
    found.append(Row(f"{model}, --edge: memory of the process after that", memory, "MB", 200))
    measure.servers.drop([ours, bare])
    return found


def _chaos_rows(measure: Measure) -> list[Row]:
    if not measure.asked.chaos_minutes:
        return []
    server = measure.servers.alone(measure.kdray(SMALL_PLACE, replicas=2))
    return chaos_rows(measure.chaos(), server, measure.tell)


def _tail_rows(measure: Measure, what: str, sites: tuple[Site, Site], rate: float) -> list[Row]:
    """Return p99 at half load, of the service and of the bare model at the same rate."""
    ours, bare = sites
    calls = {site.name: measure.asking(site, 99, clients=_MANY, rate=rate) for site in sites}
    times = measure.percentiles(calls)
    told = f"{what}: p99 of predict at {rate:.0f} requests/s, at random moments"
    parts = {name: spread([1000 * value for value in times[name]]) for name in times}
    return [
        Row(told, parts[ours.name], "ms", 100, note="half of what it can do"),
        Row(
            f"{told}, / bare model",
            spread(ratios(times, [ours.name], [bare.name])),
            parts=parts,
            parts_unit="ms",
        ),
    ]


def _explain_rows(measure: Measure, what: str, ours: Site) -> list[Row]:
    """Return what an explanation takes beside a prediction, for a client that asks alone."""
    calls = {
        "explain": measure.asking(ours, 50, verb="explain", method="gradcam"),
        "predict": measure.asking(ours, 50),
    }
    times = measure.percentiles(calls)
    parts = {name: spread([1000 * value for value in times[name]]) for name in times}
    value = spread(ratios(times, ["explain"], ["predict"]))
    return [
        Row(
            f"{what}: p50 of explain (Grad-CAM) / p50 of predict",
            value,
            "ratio",
            3,
            parts=parts,
            parts_unit="ms",
        ),
    ]


def _start_row(measure: Measure, what: str, ours: Site) -> Row:
    seconds = _one(measure.servers.alone(ours).start_seconds)
    return Row(f"{what}: cold start to ready", seconds, "s")


def _ratio(
    what: str, times: Times, ours: Site, theirs: Site, bar: float | None = None, note: str = ""
) -> Row:
    """Return how many times as many answers a second ``ours`` gives as ``theirs``."""
    parts = {
        site.name: spread([1 / seconds for seconds in times[site.name]]) for site in (ours, theirs)
    }
    value = spread(ratios(times, [theirs.name], [ours.name]))
    return Row(what, value, "ratio", bar, True, parts, "/s", note)


def _one(value: float) -> Spread:
    return Spread(value, value, value, 1)


ROWS: Mapping[str, Callable[[Measure], list[Row]]] = {
    "large": _large_rows,
    "ray": _ray_rows,
    "edge": _edge_rows,
    "chaos": _chaos_rows,
}
KINDS = tuple(ROWS)
