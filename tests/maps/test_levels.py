"""Pictures of maps: a few outliers leave no picture empty."""

from __future__ import annotations

import numpy as np
import pytest

from kdray.maps import shown_levels


def _few_above(rest: float) -> np.ndarray:
    """Return 1,000 values that rise to ``rest``, and ten of 1."""
    return np.concatenate([np.linspace(0, rest, 990), np.ones(10)]).reshape(10, -1)


def test_a_few_outliers_do_not_leave_the_rest_dark() -> None:
    assert np.median(shown_levels(_few_above(0.1))) == pytest.approx(0.5, abs=0.02)


def test_levels_stay_between_0_and_1_and_in_their_order() -> None:
    found = shown_levels(_few_above(0.1)).ravel()
    assert (found.min(), found.max()) == (0, 1)
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize(
    "map_",
    [
        pytest.param(_few_above(0.6), id="no outliers"),
        pytest.param(np.eye(20), id="a few places alone"),
        pytest.param(np.zeros((4, 4)), id="nothing"),
    ],
)
def test_other_maps_are_shown_as_they_are(map_: np.ndarray) -> None:
    np.testing.assert_array_equal(shown_levels(map_), map_)


def test_the_map_itself_is_left_alone() -> None:
    map_ = _few_above(0.1)
    shown_levels(map_)
    np.testing.assert_array_equal(map_, _few_above(0.1))
