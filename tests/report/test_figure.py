from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdray.report import classes_figure as by_class
from kdray.report import layers_figure as by_layer
from kdray.report._blocks import Blocks, left_of
from kdray.report.classes_figure import ClassMaps, classes_figure
from kdray.report.figure import DPI, ExplainedImage, Prediction, explanation_figure, size_inches
from kdray.report.layers_figure import LayerMaps, layers_figure

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


CLASSES = ("tumor", "none")
BLANK = (0xE3, 0xE3, 0xE3)


def classed(**changes: Any) -> ClassMaps:
    keys = [(name, model) for name in CLASSES for model in MODELS]
    settings: dict[str, Any] = {
        "image": np.full((16, 16), 128, np.uint8),
        "label": "tumor",
        "probabilities": {key: 0.9 if key[0] == "tumor" else 0.1 for key in keys},
        "maps": {key: np.ones((16, 16), np.float32) for key in keys},
    }
    return ClassMaps(**{**settings, **changes})


def place_of(header: float, block: int, line: int, column: int) -> tuple[float, float]:
    """Return the middle of the upper half of a map, inches."""
    return left_of(column) + 0.67, Blocks(header, 2).top(block, line) + 0.3


def test_classes_stand_in_columns_and_models_in_lines(tmp_path: Path) -> None:
    dark, maps = np.zeros((16, 16), np.float32), dict(classed().maps)
    maps["none", "student"] = dark
    classes_figure(tmp_path / "c.png", [classed(), classed(maps=maps)], CLASSES, MODELS, "gradcam")
    # 120 pixels an inch; two blocks of two lines, 1.35 high, 0.26 of text below each.
    width = 120 * (0.15 + 1.35 + 0.42 + 2 * 1.35 + 0.06 + 0.15)
    height = 120 * (0.72 + 4 * (1.35 + 0.26) + 0.14 + 0.62)
    assert Image.open(tmp_path / "c.png").size == pytest.approx((width, height), abs=1)
    bright = [(128 + colour) / 2 for colour in (252, 255, 164)]
    for block, line, column in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        found = pixel(tmp_path / "c.png", place_of(by_class.HEADER, block, line, column))
        assert found == pytest.approx(bright, abs=2)
    # The darkest colour of inferno is (0, 0, 3).
    found = pixel(tmp_path / "c.png", place_of(by_class.HEADER, 1, 1, 1))
    assert found == pytest.approx((64, 64, 65), abs=2)


def test_a_wrong_prediction_is_red(tmp_path: Path) -> None:
    reds = []
    for name in CLASSES:
        row = classed(label=name)
        classes_figure(tmp_path / "c.png", [row], CLASSES, MODELS, "gradcam")
        shown = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).astype(int)
        captions = shown[int(DPI * (0.72 + 1.35)) : int(DPI * (0.72 + 1.35 + 0.26))]
        reds.append(bool(((captions[..., 0] - captions[..., 1]) > 100).any()))
    assert reds == [False, True]


def test_the_map_of_a_class_that_is_blank_is_a_grey_field(tmp_path: Path) -> None:
    maps = {**classed().maps, ("none", "student"): "the map is blank: every value is 0."}
    classes_figure(tmp_path / "c.png", [classed(maps=maps)], CLASSES, MODELS, "gradcam")
    corner = (left_of(1) + 0.1, Blocks(by_class.HEADER, 2).top(0, 1) + 0.1)
    assert pixel(tmp_path / "c.png", corner) == BLANK


def test_layers_stand_in_a_row_for_each_model(tmp_path: Path) -> None:
    layers = {"teacher": ["stem", "stage1", "stage2"], "student": ["stage1"]}
    maps: dict[tuple[str, str], Any] = {
        (model, name): np.array([[0.0, 5.0], [0.0, 5.0]])
        for model, names in layers.items()
        for name in names
    }
    maps["teacher", "stage2"] = "the map is blank: every value is 0."
    row = LayerMaps(np.full((16, 16, 3), 128, np.uint8), "tumor", maps)
    layers_figure(tmp_path / "l.png", [row], layers, "A note.")
    width = 120 * (0.15 + 1.35 + 0.42 + 3 * 1.35 + 2 * 0.06 + 0.15)
    assert Image.open(tmp_path / "l.png").size[0] == pytest.approx(width, abs=1)
    # The ends of viridis, each map on its own scale and with its own pixels.
    x, y = place_of(by_layer.HEADER, 0, 1, 0)
    assert pixel(tmp_path / "l.png", (x - 0.4, y)) == (68, 1, 84)
    assert pixel(tmp_path / "l.png", (x + 0.4, y)) == pytest.approx((253, 231, 37), abs=1)
    x, y = place_of(by_layer.HEADER, 0, 0, 2)
    assert pixel(tmp_path / "l.png", (x - 0.55, y - 0.2)) == BLANK
    assert pixel(tmp_path / "l.png", place_of(by_layer.HEADER, 0, 1, 1)) == (255, 255, 255)


def test_the_other_figures_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    row = LayerMaps(np.full((16, 16), 9, np.uint8), "a", {("m", "l"): np.eye(3)})
    for name in ("a.png", "b.png"):
        classes_figure(tmp_path / f"c{name}", [classed()], CLASSES, MODELS, "gradcam", "note")
        layers_figure(tmp_path / f"l{name}", [row], {"m": ["l"]})
    for kind in "cl":
        first, second = (tmp_path / f"{kind}{name}" for name in ("a.png", "b.png"))
        assert first.read_bytes() == second.read_bytes()


def test_names_of_any_length_stay_in_the_other_figures(tmp_path: Path) -> None:
    name = "Clear cell renal cell carcinoma WWWWWWWWWWWW, grade $4_"
    maps = {(name, name): "a reason " * 40}
    row = classed(label=name, maps=maps, probabilities={(name, name): 1.0})
    classes_figure(tmp_path / "c.png", [row], [name], [name], name * 3, "note " * 200)
    layer = LayerMaps(row.image, name, maps)
    layers_figure(tmp_path / "l.png", [layer], {name: [name]}, "note " * 200)
    for file in ("c.png", "l.png"):
        shown = np.asarray(Image.open(tmp_path / file).convert("L"))
        assert shown[:, :4].min() == 255
        assert shown[:, -4:].min() == 255
        assert shown[-2:].min() == 255
