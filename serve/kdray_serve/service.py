"""The models of a service in one process: image files in, answers out."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdray.errors import DataError, ExplainError
from kdray.infer import Floats, Images, Predictor
from kdray.maps import heat_map
from kdray.registry import Registry
from kdray.spec.service import Service
from kdray_serve.catalogue import Key, key
from kdray_serve.refusal import Refusal, too_large
from kdray_serve.schema import Explanation, HeatMap, Prediction, Version


class Models:
    """The loaded models of a pinned service; any number of threads may use them.

    Args:
        service: The service, with version numbers.

    Raises:
        RegistryError: A package is missing or damaged.
    """

    def __init__(self, service: Service) -> None:
        registry = Registry(service.registry)
        self._limits = service.limits
        self._settings = {part.name: part.params for part in service.explain}
        self._predictors = {
            key(model): Predictor(registry.fetch(*key(model))) for model in service.models
        }

    def warm_up(self, *, explain: bool) -> None:
        """Answer once with each model, so that the first request does not pay for imports.

        Args:
            explain: Whether explanations are warmed up too, with the default method.
        """
        for predictor in self._predictors.values():
            size, channels = predictor.package.image_size, predictor.package.channels
            noise = np.random.default_rng(0).integers(0, 256, (1, size, size, channels), np.uint8)
            predictor.predict(noise)
            if explain:
                _try_explaining(predictor, noise, *next(iter(self._settings.items())))

    def predict(self, model: Key, data: bytes) -> Prediction:
        """Return the probabilities for an image file.

        Raises:
            Refusal: The file is no image that can be read, or too large.
        """
        started = time.perf_counter()
        predictor = self._predictors[model]
        image = self._decoded(predictor, data)
        return Prediction(**_prediction(model, predictor, image, started))

    def explain(
        self, model: Key, data: bytes, method: str | None = None, target: str | None = None
    ) -> Explanation:
        """Return the probabilities for an image file, and where the model looked.

        Args:
            model: Name and version.
            data: The image file.
            method: One of the service's explanations; None: the first of them.
            target: The class to explain; None: the predicted one.

        Raises:
            Refusal: Image, method or class cannot be used, or the map is blank.
        """
        started = time.perf_counter()
        predictor = self._predictors[model]
        method = _one_of(
            "explanation method", method or next(iter(self._settings)), self._settings
        )
        if target is not None:
            _one_of("class", target, predictor.classes)
        image = self._decoded(predictor, data)
        answer = _prediction(model, predictor, image, started)
        target = target or answer["prediction"]
        wanted = np.array([predictor.classes.index(target)])
        try:
            found = predictor.explain(
                image[None], method, self._settings[method], wanted
            ).checked()
        except ExplainError as error:
            raise Refusal(422, f"There is no heat map for this image: {error}") from error
        answer["milliseconds"] = _milliseconds(started)
        return Explanation(
            **answer,
            method=method,
            class_=target,
            estimate=_estimate(found.estimate),
            heat_map=_drawn(found.maps[0, 0]),
        )

    def _decoded(self, predictor: Predictor, data: bytes) -> Images:
        limits = self._limits
        if len(data) > limits.max_upload_mb * 2**20:
            raise too_large(limits)
        width, height = _dimensions(data)
        if width * height > limits.max_pixels:
            allowed = f"at most {limits.max_pixels:,} pixels are allowed"
            raise Refusal(413, f"The image has {width} x {height} pixels; {allowed}.")
        try:
            return predictor.decode(data, limits.max_pixels)
        except DataError as error:
            raise Refusal(422, f"The image {error.sentence()}") from error


def _dimensions(data: bytes) -> tuple[int, int]:
    """Return width and height from the head of an image file, without decoding it."""
    if not data:
        raise Refusal(422, "The image file is empty.")
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except UnidentifiedImageError:
        problem = "The file is no image that can be read here."
        raise Refusal(415, f"{problem} Send PNG, JPEG, TIFF, BMP or WebP.") from None
    except Image.DecompressionBombError:
        raise Refusal(413, "The image has far too many pixels.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise Refusal(422, f"The image cannot be read: {error}.") from error


def _prediction(model: Key, predictor: Predictor, image: Images, started: float) -> dict[str, Any]:
    [shares] = predictor.predict(image[None])
    return {
        "model": Version(
            name=model[0], version=model[1], weights_sha256=predictor.package.weights.sha256
        ),
        "prediction": predictor.classes[int(shares.argmax())],
        "probabilities": dict(zip(predictor.classes, map(float, shares), strict=True)),
        "milliseconds": _milliseconds(started),
    }


def _one_of(what: str, name: str, names: Any) -> str:
    if name not in names:
        raise Refusal(422, f"There is no {what} {name!r}. There are: {', '.join(names)}.")
    return name


def _estimate(estimates: Floats | None) -> float | None:
    if estimates is None or not np.isfinite(estimates[0, 0]):
        return None
    return float(estimates[0, 0])


def _drawn(found: Floats) -> HeatMap:
    buffer = io.BytesIO()
    Image.fromarray(heat_map(found)).save(buffer, format="PNG")
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    return HeatMap(width=found.shape[1], height=found.shape[0], png=png)


def _try_explaining(
    predictor: Predictor, images: Images, method: str, params: dict[str, Any]
) -> None:
    try:
        predictor.explain(images, method, params)
    except ExplainError:
        pass  # a blank map of noise says nothing of real images


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
