"""Pictures of maps: matplotlib's colours without matplotlib, and files that show the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from kdray.errors import ExplainError
from kdray.maps import heat_map, heat_map_png, overlay, png
from kdray.maps.palette import INFERNO

MAP = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)


def opened(file: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert(mode))


def test_the_colours_are_those_of_matplotlib() -> None:
    theirs = colormaps["inferno"](np.arange(256))[:, :3] * 255
    np.testing.assert_array_equal(INFERNO, np.round(theirs).astype(np.uint8))


def test_the_file_of_a_heat_map_shows_the_heat_map() -> None:
    np.testing.assert_array_equal(opened(heat_map_png(MAP), "RGBA"), heat_map(MAP))


@pytest.mark.parametrize(("shape", "mode"), [((5, 7), "L"), ((5, 7, 3), "RGB")])
def test_files_hold_the_pixels(shape: tuple[int, ...], mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(opened(png(pixels), mode), pixels)


def test_no_file_is_made_of_a_map_that_shows_nothing() -> None:
    with pytest.raises(ExplainError, match="shows nothing"):
        heat_map_png(np.full((4, 4), np.nan, np.float32))


def test_opacity_grows_with_the_map_up_to_its_middle() -> None:
    opacity = heat_map(MAP)[..., 3].ravel().astype(int)
    assert (np.diff(opacity) >= 0).all()
    assert opacity[MAP.ravel() < 0.1].max() == 0
    assert opacity[MAP.ravel() > 0.6].min() == 255


def test_an_overlay_of_no_opacity_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(image, MAP, opacity=0), image)
