"""Images in, answers out: what a process does with its models; any number of threads may."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from kdray import parts
from kdray.confidence import softmax
from kdray.engine import Floats, Seen
from kdray.errors import ExplainError, JobError, KdrayError, ModelError
from kdray.images import fit
from kdray.maps import Explanation
from kdray.maps.likeness import GRID, on_grid, overlap, pearson, ssim
from kdray.registry import Package
from kdray.spec.service import Service
from kdray.spec.strict import Part
from kdray_serve.answering.costs import Costs, Plan
from kdray_serve.answering.engines import Asked, Engines, Model
from kdray_serve.answering.intake import Taken, take
from kdray_serve.answering.shelf import Shelf
from kdray_serve.meter import Meter, Silent
from kdray_serve.refusal import Refusal
from kdray_serve.work import Beside, Explained, Key, Mapped, Pixels, Predicted, Upload, Wish

_LOG = logging.getLogger(__name__)
#: Most classes that ``all`` stands for: the most probable ones.
MOST_CLASSES = 10
_LIKENESS = {"pearson": pearson, "ssim": ssim, "iou20": overlap}


class Worker:
    """Predicts and explains with the models of a registry, which it loads when they are needed.

    Args:
        service: What is served, and within which limits.
        engines: Loads models.
        meter: Is told what was done.
    """

    def __init__(self, service: Service, engines: Engines, meter: Meter | None = None) -> None:
        self.service = service
        self.may_use_torch = engines.may_use_torch
        self._meter = meter or Silent()
        self._methods = {part.name: part.params for part in service.explain}
        self._costs = Costs()
        self.shelf: Shelf[Asked, Model] = Shelf(
            engines.load, int(service.memory_mb * 2**20), self._meter.memory
        )

    def has(self, key: Key) -> bool:
        """Return whether a version is loaded."""
        return self.shelf.has(_first(key))

    def warm(self, key: Key) -> None:
        """Load a version where it is not loaded.

        Raises:
            KdrayError: It is missing, damaged, or cannot be computed here.
        """
        with self.shelf.use(_first(key)) as model:
            needs_torch = model.needs_torch and self.may_use_torch
            lacks_torch = model.needs_torch and not self.may_use_torch
            self._tried(model, _some_image())  # imports what reads files
        if needs_torch:
            self.shelf.warm((*key, "torch"))
        if lacks_torch:
            _LOG.warning("%s@%s cannot be explained by %s here", *key, next(iter(self._methods)))

    def loaded(self) -> list[dict[str, Any]]:
        """Return what is loaded, that used longest ago first."""
        return [
            {
                "name": model.key[0],
                "version": model.key[1],
                "runtime": model.engine.runtime,
                "bytes": model.bytes,
            }
            for model in self.shelf.items().values()
        ]

    def preview(self, image: Upload) -> Pixels:
        """Return an image file's pixels, upright, windowed as the file says.

        Raises:
            Refusal: The image cannot be used.
        """
        return take(image, self.service.limits.max_pixels).pixels

    def predict(self, key: Key, images: Sequence[Upload]) -> list[Predicted | Exception]:
        """Return what a version says of each image, in one forward pass, or why it cannot."""
        started = time.perf_counter()
        with self._using(_first(key)) as model:
            taken = [self._tried(model, image) for image in images]
            usable = [one for one in taken if isinstance(one, Taken)]
            answers = iter(self._answers(model, usable)[0] if usable else ())
        self._meter.batch(key, len(images), time.perf_counter() - started)
        return [next(answers) if isinstance(one, Taken) else one for one in taken]

    def explain(self, key: Key, image: Upload, wish: Wish) -> Explained:
        """Return what a version says of an image, and where it looked.

        Args:
            key: The version.
            image: The image.
            wish: What is wanted; ``against`` as ``name@number``.

        Raises:
            Refusal: Image, method or class cannot be used.
        """
        started = time.perf_counter()
        wanted = self._wanted(wish.method)
        with self._using(_first(key)) as model:
            taken = take(image, self.service.limits.max_pixels, model.package.window)
            [predicted], seen, shown = self._answers(model, [taken])
            places = _places(model, wish.classes, predicted)
            plan = self._planned(key, wanted, wish, started, seen)
            mapped = self._mapped(model, shown, plan, places)
            names = [model.engine.classes[place] for place in places]
            package = model.package
        if wish.against:
            beside = self._beside(parsed(wish.against), taken, plan, names)
            scores = _agreement(mapped.maps, beside.mapped.maps)
            chance = _chance(package, plan.method) if _is_teacher(package, beside) else {}
            beside = replace(beside, agreement=scores, chance=chance)
        return Explained(
            predicted, mapped, shown[0], plan.replaced, beside if wish.against else None
        )

    @contextmanager
    def _using(self, asked: Asked) -> Iterator[Model]:
        """Keep a model loaded; one that cannot be is a refusal, not a failure of the service."""
        with ExitStack() as stack:
            try:
                model = stack.enter_context(self.shelf.use(asked))
            except KdrayError as error:
                raise not_loaded(asked[:2], error) from error
            yield model

    def _tried(self, model: Model, image: Upload) -> Taken | Refusal:
        try:
            return take(image, self.service.limits.max_pixels, model.package.window)
        except Refusal as refusal:
            return refusal

    def _answers(
        self, model: Model, taken: Sequence[Taken]
    ) -> tuple[list[Predicted], Seen, Pixels]:
        """Return what a model says of images, and the images as it saw them ``[B, H, W, c]``."""
        side, channels = model.package.image_size, model.package.channels
        images = np.stack([fit(one.image, side, channels) for one in taken])
        started = time.perf_counter()
        seen = model.engine.look(images)
        passed = 1000 * (time.perf_counter() - started)
        self._costs.note_pass(model.key, passed / len(images))
        confidence, logits = model.confidence, seen.logits
        count, sets, scores = len(images), None, None
        probabilities = softmax(logits) if confidence is None else confidence.probabilities(logits)
        if confidence is not None:
            sets = confidence.sets(probabilities, self.service.coverage)
            scores = confidence.ood(seen.features)
        answers = [
            Predicted(
                probabilities=probabilities[row],
                logits=logits[row],
                is_calibrated=confidence is not None,
                prediction_set=sets[row] if sets is not None else None,
                ood_score=float(scores[row]) if scores is not None else None,
                size=taken[row].size,
                sha256=taken[row].sha256,
            )
            for row in range(count)
        ]
        return answers, seen, images

    def _wanted(self, method: str | None) -> Plan:
        name = method or next(iter(self._methods))
        if name not in self._methods:
            known = ", ".join(self._methods)
            raise Refusal(422, f"There is no explanation method {name!r}. There are: {known}.")
        return Plan(name, self._methods[name])

    def _planned(self, key: Key, wanted: Plan, wish: Wish, started: float, seen: Seen) -> Plan:
        if wish.deadline_ms is None:
            return wanted
        left = wish.deadline_ms - 1000 * (time.perf_counter() - started)
        if wish.against:
            left /= 2
        return self._costs.planned(key, wanted, max(left, 0), seen.features.shape[1])

    def _mapped(self, model: Model, image: Pixels, plan: Plan, places: Sequence[int]) -> Mapped:
        """Return a model's maps of an image ``[1, H, W, c]``."""
        found = self._explained(model, image, plan, np.array([places], dtype=np.int64))
        self._costs.note(model.key, plan.method, found.ms, found.forwards)
        estimate = found.estimate
        return Mapped(
            method=plan.method,
            places=tuple(places),
            maps=found.maps[0],
            reasons={place: why for (_, place), why in found.degenerate.items()},
            estimates=None if estimate is None else tuple(map(float, estimate[0])),
            milliseconds=found.ms,
            forwards=found.forwards,
        )

    def _explained(
        self, model: Model, image: Pixels, plan: Plan, classes: np.ndarray[Any, Any]
    ) -> Explanation:
        """Return an explanation, by PyTorch where another runtime cannot make it."""
        try:
            return model.engine.explain(image, plan.method, plan.params, classes)
        except ModelError as error:
            if model.engine.runtime.startswith("torch") or not self.may_use_torch:
                raise _refused(plan.method, error) from error
        except (ExplainError, JobError) as error:
            raise _refused(plan.method, error) from error
        with self._using((*model.key, "torch")) as other:
            try:
                return other.engine.explain(image, plan.method, plan.params, classes)
            except (ModelError, ExplainError, JobError) as error:
                raise _refused(plan.method, error) from error

    def _beside(self, key: Key, taken: Taken, plan: Plan, names: Sequence[str]) -> Beside:
        """Return another model's view of the same image and classes."""
        with self._using(_first(key)) as model:
            classes = model.engine.classes
            places = [_place(classes, name) for name in names]
            [predicted], _, shown = self._answers(model, [taken])
            return Beside(
                model=key,
                weights_sha256=model.package.weights.sha256,
                classes=classes,
                role=model.package.role,
                predicted=predicted,
                mapped=self._mapped(model, shown, plan, places),
                agreement=(),
            )


def not_loaded(key: Key, error: KdrayError) -> Refusal:
    """Return the refusal for a version that cannot be loaded; the log has the reason."""
    _LOG.error("%s@%s cannot be used: %s", *key, error)
    detail = f"{key[0]}@{key[1]} cannot be loaded now; the service's log says why."
    return Refusal(503, detail, {"Retry-After": "10"})


def _first(key: Key) -> Asked:
    return (*key, "auto")


def _some_image() -> Upload:
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "PNG")
    return Upload(file.getvalue())


def parsed(text: str) -> Key:
    """Return the version that ``name@number`` says."""
    name, _, version = text.partition("@")
    return name, int(version)


def _places(model: Model, names: Sequence[str], predicted: Predicted) -> tuple[int, ...]:
    classes = model.engine.classes
    if not names:
        return (predicted.place,)
    if tuple(names) == ("all",) and "all" not in classes:
        likeliest = np.argsort(-predicted.probabilities, kind="stable")[:MOST_CLASSES]
        return tuple(sorted(likeliest.tolist()))
    return tuple(dict.fromkeys(_place(classes, name) for name in names))


def _place(classes: Sequence[str], name: str) -> int:
    if name not in classes:
        known = ", ".join(classes)
        raise Refusal(422, f"There is no class {name!r}. There are: {known}.")
    return classes.index(name)


def _refused(method: str, error: KdrayError) -> Refusal:
    return Refusal(422, f"This model cannot be explained by {method}: {error.sentence()}")


def _is_teacher(package: Package, beside: Beside) -> bool:
    """Return whether a model is the one by which the package's chance level was measured."""
    teacher = package.lineage.get("teacher") or {}
    if "sha256" in teacher:
        return bool(beside.weights_sha256 == teacher["sha256"])
    return beside.model == (teacher.get("name"), teacher.get("version"))


def _chance(package: Package, method: str) -> dict[str, float]:
    """Return how alike maps of it and its teacher are on different images, as it was measured."""
    rows = package.metrics().get("explanations", {}).get("agreement") or ()
    part = parts.canonical("explain", Part(name=method)).name
    for row in rows:
        measured = Part(name=str(row["method"]))
        if method == measured.name or parts.canonical("explain", measured).name == part:
            values = row.get("all") or {}
            means = {name: (values.get(f"chance_{name}") or {}).get("mean") for name in _LIKENESS}
            return {name: float(mean) for name, mean in means.items() if mean is not None}
    return {}


def _agreement(ours: Floats, theirs: Floats) -> tuple[dict[str, float], ...]:
    """Return how alike the maps ``[K, H, W]`` of two models are, class by class."""
    side = min(GRID, *ours.shape[1:], *theirs.shape[1:])
    first, second = on_grid(ours, side), on_grid(theirs, side)
    scores = {name: of(first, second) for name, of in _LIKENESS.items()}
    return tuple(
        {name: float(values[place]) for name, values in scores.items()}
        for place in range(len(first))
    )
