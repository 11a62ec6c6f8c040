"""The sums of the gradient methods are the same of arrays and of tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdray.maps.gradients import Weigh, blank_sums, gradcam, gradcampp, layercam, over_channels

METHODS = (gradcam, gradcampp, layercam)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("weigh", METHODS)
@pytest.mark.parametrize("grid", [(4, 3), (1, 1)])
def test_arrays_and_tensors_give_the_same(weigh: Weigh, grid: tuple[int, int]) -> None:
    gradients, values = drawn(3, 2, 5, *grid), drawn(2, 5, 4, 3)
    found = weigh(gradients, values)
    assert found.shape == (2, 3, 4, 3)
    theirs = weigh(torch.from_numpy(gradients), torch.from_numpy(values))
    np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weigh", METHODS)
def test_one_gradient_for_all_places_is_that_gradient_at_each(weigh: Weigh) -> None:
    gradients, values = drawn(3, 2, 5, 1, 1), drawn(2, 5, 4, 3)
    wide = np.broadcast_to(gradients, (3, 2, 5, 4, 3))
    np.testing.assert_allclose(weigh(gradients, values), weigh(wide, values), atol=1e-4)


def test_sums_are_over_the_channels() -> None:
    weights, values = drawn(3, 2, 5), drawn(2, 5, 4, 3)
    expected = np.einsum("kbd,bdhw->bkhw", weights, values)
    np.testing.assert_allclose(over_channels(weights, values), expected, atol=1e-5)


def test_maps_without_a_positive_place_say_why() -> None:
    gradients, values = np.ones((1, 3, 2, 1, 1), np.float32), np.ones((3, 2, 2, 2), np.float32)
    gradients[0, 0] = -1
    values[1] = 0
    gradients[0, 2] = 0
    reasons = blank_sums("cam", gradcam(gradients, values), gradients, values)
    assert "no place speaks for the class" in reasons[0, 0]
    assert "all values" in reasons[1, 0]
    assert "all gradients" in reasons[2, 0]
