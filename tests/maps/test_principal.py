from __future__ import annotations

import numpy as np
import pytest

from kdray.maps.principal import principal


@pytest.mark.parametrize("shape", [(2, 30, 4, 3), (2, 3, 6, 5)])
def test_places_lie_along_the_first_singular_vector(shape: tuple[int, ...]) -> None:
    maps = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for found, one in zip(principal(maps), maps, strict=True):
        rows = one.reshape(shape[1], -1).T.astype(float)
        left, values, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
        expected = left[:, 0] * values[0]
        expected *= np.sign(expected[np.abs(expected).argmax()])
        np.testing.assert_allclose(found.ravel(), expected, atol=1e-4)


def test_a_map_that_is_not_finite_leaves_the_others_alone() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 5, 3, 3)).astype(np.float32)
    alone = principal(maps[1:])
    maps[0, 0, 0, 0] = np.nan
    found = principal(maps)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], alone)
