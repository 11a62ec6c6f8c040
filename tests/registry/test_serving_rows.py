"""What serves a package, in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kdray.confidence import Confidence
from kdray.registry import model_card, read_package, serving_rows
from tests.registry.test_gate import answers, serve


def fitted() -> Confidence:
    given = answers(0.8)
    random = np.random.default_rng(0)
    features, bank = (random.random((n, 4)).astype(np.float32) for n in (120, 50))
    return Confidence.fitted(given["logits"] * 9, given["labels"], features, bank)


def test_calibration_sets_and_unknown_images_are_told() -> None:
    known = fitted()
    facts = known.facts()
    told = {
        "onnx_bytes": 1234567,
        "gradient_maps_without_torch": True,
        "confidence": facts,
        "samples": 4,
    }
    rows = dict(serving_rows.rows(told))
    assert rows["ONNX network"] == "1,234,567 bytes"
    assert rows["gradient maps without PyTorch"] == "yes"
    assert f"temperature {known.temperature:.3f}" in rows["calibration"]
    assert f"after it {facts['ece_after']:.3f}, on 120 validation images" in rows["calibration"]
    size = facts["mean_classes_of_a_set"]["0.9"]
    row = rows["prediction sets that hold the truth for 90%"]
    assert row == f"{size:.2f} classes on average"
    assert rows["tells unknown images"] == "by the 10 nearest of 50 training images"
    assert rows["images to try"] == "4"


def test_a_package_without_files_of_serving_is_served_by_pytorch() -> None:
    assert "PyTorch" in serving_rows.rows(None)[0][1]


def test_the_card_tells_what_serves_the_model(make_package: Callable[[int], Path]) -> None:
    folder = make_package(0)
    assert "## Served by" not in model_card(read_package(folder), {})
    serve(folder, answers(0.8), confidence=fitted().facts())
    card = model_card(read_package(folder), json.loads("{}"))
    assert "## Served by" in card
    assert "| calibration | temperature " in card
