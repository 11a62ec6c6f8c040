from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdray.report.figure import DPI, ExplainedImage, Prediction, explanation_figure, size_inches

METHODS, MODELS = ("gradcam", "scorecam"), ("teacher", "student")
#: Centre of the picture of column 1 (the first map) and of the image's own, in inches.
FIRST_MAP, OWN_IMAGE = (0.15 + 1.6 + 0.24 + 0.8, 0.74 + 0.8), (0.15 + 0.8, 0.74 + 0.8)


def row(**changes: Any) -> ExplainedImage:
    heat = np.zeros((16, 16), np.float32)
    heat[4:8, 4:8] = 1.0
    settings: dict[str, Any] = {
        "image": np.full((16, 16, 3), 128, np.uint8),
        "label": "tumor",
        "predictions": {"teacher": Prediction("tumor", 0.97), "student": Prediction("none", 0.5)},
        "maps": {(method, model): heat for method in METHODS for model in MODELS},
    }
    return ExplainedImage(**{**settings, **changes})


def pixel(file: Path, place: tuple[float, float]) -> tuple[int, ...]:
    found = Image.open(file).convert("RGB").getpixel((int(place[0] * DPI), int(place[1] * DPI)))
    assert isinstance(found, tuple)
    return tuple(int(value) for value in found)


def test_the_figure_is_a_png_of_the_stated_size(tmp_path: Path) -> None:
    explanation_figure(tmp_path / "e.png", [row(), row()], METHODS, MODELS, "A note.")
    image = Image.open(tmp_path / "e.png")
    assert image.format == "PNG"
    # Margins, five pictures, two gaps between methods, two within; header, two rows, foot.
    width = 2 * 0.15 + 5 * 1.6 + 2 * 0.24 + 2 * 0.06
    height = 0.74 + 2 * (1.6 + 0.32) + 0.62
    assert image.size == (round(width * 120), round(height * 120))
    assert size_inches(2, 2, 2) == pytest.approx((width, height))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        explanation_figure(tmp_path / name, [row()], METHODS, MODELS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_image_itself_is_shown_as_it_is(tmp_path: Path) -> None:
    explanation_figure(tmp_path / "e.png", [row()], METHODS, MODELS)
    assert pixel(tmp_path / "e.png", OWN_IMAGE) == (128, 128, 128)


def test_a_map_lies_over_its_image_at_half_opacity(tmp_path: Path) -> None:
    full = np.ones((16, 16), np.float32)
    explanation_figure(tmp_path / "e.png", [row(maps={("m", "teacher"): full})], "m", ["teacher"])
    # The brightest colour of inferno is (252, 255, 164).
    expected = [(128 + colour) / 2 for colour in (252, 255, 164)]
    assert pixel(tmp_path / "e.png", FIRST_MAP) == pytest.approx(expected, abs=2)


def test_a_blank_map_is_a_grey_field_and_no_picture(tmp_path: Path) -> None:
    maps = {("m", "teacher"): "the map is blank: every value is 0."}
    explanation_figure(tmp_path / "e.png", [row(maps=maps)], "m", ["teacher"])
    beside_the_text = (FIRST_MAP[0], FIRST_MAP[1] + 0.6)
    assert pixel(tmp_path / "e.png", beside_the_text) == (0xE3, 0xE3, 0xE3)


def test_a_lesion_is_outlined_in_white_on_black(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), bool)
    mask[:, 8:] = True
    explanation_figure(tmp_path / "e.png", [row(mask=mask)], METHODS, MODELS)
    # The line runs between columns 7 and 8: through the middle of the picture.
    across = [
        pixel(tmp_path / "e.png", (OWN_IMAGE[0] + shift / DPI, OWN_IMAGE[1]))[0]
        for shift in range(-6, 7)
    ]
    assert max(across) > 220
    assert min(across) < 20


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 1)])
def test_grey_images_and_empty_masks_are_taken(tmp_path: Path, shape: tuple[int, ...]) -> None:
    grey = row(image=np.full(shape, 200, np.uint8), mask=np.zeros((16, 16), np.uint8))
    explanation_figure(tmp_path / "e.png", [grey], METHODS, MODELS)
    assert pixel(tmp_path / "e.png", OWN_IMAGE) == (200, 200, 200)


def test_no_text_leaves_its_column_however_long_the_names(tmp_path: Path) -> None:
    name = "Clear cell renal cell carcinoma WWWWWWWWWWWW, grade $4_"
    long = row(
        label=name,
        predictions={name: Prediction(name + "3", 0.123)},
        maps={(name, name): "a reason " * 40},
    )
    explanation_figure(tmp_path / "e.png", [long], [name], [name], "note " * 200)
    shown = np.asarray(Image.open(tmp_path / "e.png").convert("L"))
    assert shown[:, :4].min() == 255
    assert shown[:, -4:].min() == 255
    assert shown[-2:].min() == 255
