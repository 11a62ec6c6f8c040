"""Answers of the models as tensors of the Open Inference Protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kdray_serve.http.tensors import Output
from kdray_serve.schema import Details
from kdray_serve.work import Beside, Explained, Floats, Predicted

#: Scores of the last axis of ``agreement``, in this order.
SCORES = ("pearson", "ssim", "iou20")


def tensors_of(model: Details) -> dict[str, list[dict[str, Any]]]:
    """Return the metadata of a model's tensors; explanations are extra outputs on request."""
    channels, classes = model.input.channels, len(model.classes)
    outputs = [("probabilities", "FP32", [-1, classes]), ("label", "BYTES", [-1])]
    if model.calibrated:
        outputs += [("prediction_set", "BOOL", [-1, classes]), ("ood_score", "FP32", [-1])]
    inputs = [("image", "BYTES", [-1]), ("pixels", "UINT8", [-1, -1, -1, channels])]
    return {"inputs": _metadata(inputs), "outputs": _metadata(outputs)}


def predicted_outputs(classes: Sequence[str], said: Sequence[Predicted]) -> list[Output]:
    """Return what a model says of ``B`` images.

    Returns:
        ``probabilities`` ``[B, C]``, ``label`` ``[B]`` and, where the package can tell,
        ``prediction_set`` ``[B, C]`` and ``ood_score`` ``[B]``.
    """
    shares = np.stack([one.probabilities for one in said])
    outputs = [
        Output("probabilities", "FP32", shares, shares.shape),
        Output("label", "BYTES", [classes[one.place] for one in said], (len(said),)),
    ]
    sets = [one.prediction_set for one in said if one.prediction_set is not None]
    if len(sets) == len(said):
        members = np.zeros(shares.shape, bool)
        for row, places in zip(members, sets, strict=True):
            row[list(places)] = True
        outputs.append(Output("prediction_set", "BOOL", members, members.shape))
    scores = [one.ood_score for one in said if one.ood_score is not None]
    if len(scores) == len(said):
        outputs.append(_numbers("ood_score", np.array(scores)))
    return outputs


def explained_outputs(classes: Sequence[str], said: Sequence[Explained]) -> list[Output]:
    """Return what a model says of ``B`` images, and where it looked.

    Returns:
        Those of predictions, ``heatmap`` ``[B, K, H, W]`` (NaN where a map shows nothing),
        ``heatmap_label`` ``[B, K]`` and, where there are such numbers, ``estimate`` ``[B, K]``
        and ``agreement`` ``[B, K, 3]``.
    """
    predicted = predicted_outputs(classes, [one.predicted for one in said])
    maps = np.stack([_blanked(one) for one in said])
    labels = [classes[place] for one in said for place in one.mapped.places]
    outputs = [
        _numbers("heatmap", maps),
        Output("heatmap_label", "BYTES", labels, maps.shape[:2]),
    ]
    estimates = [one.mapped.estimates for one in said if one.mapped.estimates is not None]
    if len(estimates) == len(said):
        outputs.append(_numbers("estimate", np.array(estimates)))
    beside = [one.beside for one in said if one.beside is not None]
    if len(beside) == len(said):
        outputs.append(_numbers("agreement", np.array([_agreement(one) for one in beside])))
    return [*predicted, *outputs]


def told(said: Sequence[Explained]) -> dict[str, Any]:
    """Return the parameters that tell how images were explained: words and numbers only."""
    first = said[0]
    parameters: dict[str, Any] = {
        "explain": first.mapped.method,
        "replaced": "; ".join(dict.fromkeys(one.replaced for one in said if one.replaced)),
        "blank": "; ".join(
            dict.fromkeys(reason for one in said for reason in one.mapped.reasons.values())
        ),
    }
    if first.beside is not None:
        parameters["against"] = f"{first.beside.model[0]}@{first.beside.model[1]}"
        for name, value in first.beside.chance.items():
            if math.isfinite(value):
                parameters[f"chance_{name}"] = float(value)
    return {name: value for name, value in parameters.items() if value != ""}


def _blanked(said: Explained) -> Floats:
    """Return an image's maps, NaN where one shows nothing."""
    maps = np.array(said.mapped.maps, np.float32)
    maps[list(said.mapped.reasons)] = np.nan
    return maps


def _agreement(beside: Beside) -> list[list[float]]:
    return [[scores.get(name, math.nan) for name in SCORES] for scores in beside.agreement]


def _numbers(name: str, values: np.ndarray[Any, Any]) -> Output:
    return Output(name, "FP32", values, values.shape)


def _metadata(tensors: Sequence[tuple[str, str, list[int]]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in tensors
    ]
