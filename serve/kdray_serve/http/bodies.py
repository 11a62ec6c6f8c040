"""Answers as the bytes of JSON, in the form of the schema.

They are written from what the models say, without checking them against the schema on the way:
that would cost more than a small model. The tests check them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kdray.maps import heat_map_png, overlay, png
from kdray.registry.card import NOTICE
from kdray.spec.service import Service
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Details
from kdray_serve.work import Beside, Explained, Mapped, Pixels, Predicted, Upload, Wish

_LARGEST_PREVIEW = 2048


def predictions(
    service: Service,
    request_id: str,
    model: Details,
    said: Sequence[tuple[Upload, Predicted]],
    milliseconds: float,
) -> bytes:
    """Return the answer ``Predictions``.

    Args:
        service: For the coverage of sets and the limit of unlikeness.
        request_id: Names the request.
        model: Which version answered.
        said: Each image, and what the model says of it.
        milliseconds: Time of the answer.
    """
    answer = {
        "request_id": request_id,
        "model": _version(model.name, model.version, model.weights_sha256),
        "predictions": [
            prediction(service, model.classes, image, predicted) for image, predicted in said
        ],
        "milliseconds": round(milliseconds, 2),
        "notice": NOTICE,
    }
    return encoded(answer)


def prediction(
    service: Service, classes: Sequence[str], image: Upload, said: Predicted
) -> dict[str, Any]:
    """Return the answer ``Prediction``.

    Args:
        service: For the coverage of sets and the limit of unlikeness.
        classes: The model's classes.
        image: The image.
        said: What the model says of it.
    """
    places, score = said.prediction_set, said.ood_score
    limit = service.ood.flag_above
    width, height = said.size
    return {
        "prediction": classes[said.place],
        "probabilities": dict(zip(classes, said.probabilities.tolist(), strict=True)),
        "calibrated": said.is_calibrated,
        "prediction_set": None
        if places is None
        else {"coverage": service.coverage, "classes": [classes[place] for place in places]},
        "ood": None
        if score is None
        else {"score": score, "flag": score > limit, "flag_above": limit},
        "image": {
            "name": image.name,
            "width": width,
            "height": height,
            "sha256": said.sha256,
        },
    }


def explanation(
    service: Service, model: Details, image: Upload, wish: Wish, said: Explained, *, raw: bool
) -> dict[str, Any]:
    """Return the answer ``Explanation``, but for the name and time of the request.

    Args:
        service: For the coverage of sets and the limit of unlikeness.
        model: Which version answered.
        image: The image.
        wish: What was asked for.
        said: What the model says of it, and where it looked.
        raw: Whether the numbers of the maps are wanted.
    """
    mapped = said.mapped
    return {
        "model": _version(model.name, model.version, model.weights_sha256),
        "prediction": prediction(service, model.classes, image, said.predicted),
        "method": mapped.method,
        "requested_method": wish.method or model.explanations[0].name,
        "replaced": said.replaced,
        "maps": maps(model.classes, mapped, raw=raw),
        "against": said.beside and _against(service, image, said.beside, raw=raw),
        "forwards": mapped.forwards,
        "notice": NOTICE,
    }


def maps(classes: Sequence[str], mapped: Mapped, *, raw: bool) -> list[dict[str, Any]]:
    """Return the answers ``Map`` of a model's maps."""
    rows = []
    for position, place in enumerate(mapped.places):
        reason = mapped.reasons.get(position, "")
        found = mapped.maps[position]
        estimate = None if mapped.estimates is None else mapped.estimates[position]
        rows.append(
            {
                "class": classes[place],
                "heat_map": None if reason else _heat_map(found),
                "reason": reason,
                "estimate": None if estimate is None else _finite(estimate),
                "values": _values(found) if raw and not reason else None,
            }
        )
    return rows


def laid_over(model: Details, said: Explained) -> tuple[bytes, dict[str, str]]:
    """Return the image with the only map over it, PNG, and headers that say what it shows.

    Raises:
        Refusal: There are several maps, or this one shows nothing.
    """
    mapped = said.mapped
    if len(mapped.places) != 1:
        detail = f"A picture shows one map, not {len(mapped.places)}: name one class."
        raise Refusal(422, f"{detail} JSON (`Accept: application/json`) has all of them.")
    if 0 in mapped.reasons:
        raise Refusal(422, f"There is nothing to show: {mapped.reasons[0]}")
    headers = {
        "X-Kdray-Model": f"{model.name}@{model.version}",
        "X-Kdray-Class": _ascii(model.classes[mapped.places[0]]),
        "X-Kdray-Method": _ascii(mapped.method),
    }
    return png(overlay(said.shown, mapped.maps[0])), headers


def preview(pixels: Pixels) -> bytes:
    """Return pixels as PNG, at most 2048 pixels wide and high."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_LARGEST_PREVIEW, _LARGEST_PREVIEW))
    return png(np.asarray(picture))


def encoded(answer: Mapping[str, Any]) -> bytes:
    """Return an answer as JSON."""
    return _JSON.encode(answer).encode("utf-8", "replace")


def _against(service: Service, image: Upload, beside: Beside, *, raw: bool) -> dict[str, Any]:
    name, version = beside.model
    return {
        "model": _version(name, version, beside.weights_sha256),
        "role": beside.role,
        "prediction": prediction(service, beside.classes, image, beside.predicted),
        "maps": maps(beside.classes, beside.mapped, raw=raw),
        "agreement": [_agreement(scores) for scores in beside.agreement],
        "chance": {name: value for name, value in beside.chance.items() if math.isfinite(value)},
    }


def _agreement(scores: Mapping[str, float]) -> dict[str, float | None] | None:
    finite = {name: _finite(scores.get(name, math.nan)) for name in _AGREEMENT}
    return None if all(value is None for value in finite.values()) else finite


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _version(name: str, version: int, weights_sha256: str) -> dict[str, Any]:
    return {"name": name, "version": version, "weights_sha256": weights_sha256}


def _heat_map(found: NDArray[np.float32]) -> dict[str, Any]:
    height, width = found.shape
    png = base64.b64encode(heat_map_png(found)).decode("ascii")
    return {"width": width, "height": height, "png": png}


def _values(found: NDArray[np.float32]) -> dict[str, Any]:
    data = np.ascontiguousarray(found, dtype="<f4").tobytes()
    return {"shape": list(found.shape), "float32": base64.b64encode(data).decode("ascii")}


def _ascii(text: str) -> str:
    """Return text as a header can hold it: percent signs where it is not ASCII."""
    return quote(text, safe=" ()-_.,:;/+")


_AGREEMENT = ("pearson", "ssim", "iou20")
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
