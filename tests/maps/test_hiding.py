from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from kdray.maps.hiding import Windows, baseline_of, occlusion, passes


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_a_blurred_copy_is_that_of_torchvision() -> None:
    images = drawn(2, 3, 40, 30)
    theirs = gaussian_blur(torch.from_numpy(images), [13, 13], [2.0, 2.0])
    np.testing.assert_allclose(baseline_of(images, "blurred"), theirs, atol=1e-5)


@pytest.mark.parametrize(("size", "count"), [((20, 20), 16), ((10, 20), 20)])
def test_windows_are_counted(size: tuple[int, int], count: int) -> None:
    assert passes(size, Windows(window=0.25, stride=0.25)) == 1 + count


def test_what_is_hidden_is_what_the_score_loses() -> None:
    image = drawn(1, 1, 8, 8)

    def behind(_image: int, kept: object) -> np.ndarray:
        masks = np.concatenate(list(kept))  # type: ignore[call-overload]
        return (image[0] * masks).sum(axis=(1, 2))[:, None]

    settings = Windows(window=0.5, stride=0.5, sign="absolute")
    found = occlusion(settings, np.array([[0]]), (8, 8), 3, behind)
    blocks = image[0, 0].reshape(2, 4, 2, 4).sum(axis=(1, 3))
    expected = np.abs(blocks).repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_allclose(found.maps[0, 0], expected, atol=1e-4)
    assert found.forwards == 5
