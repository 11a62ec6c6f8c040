"""k-means and the Gaussian process of fast Score-CAM, against scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from kdray.maps.clusters import (
    UNEXPLAINED,
    cluster_means,
    correlation,
    draws,
    features,
    guessed,
    k_means,
)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)


def spread(rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the squared distances of rows to the means of their clusters, summed."""
    return sum(
        float(((rows[labels == one] - rows[labels == one].mean(axis=0)) ** 2).sum())
        for one in np.unique(labels)
    )


def test_clusters_that_lie_apart_are_found() -> None:
    truth = np.arange(60) % 5
    rows = 10 * np.eye(5, 8, dtype=np.float32)[truth] + drawn(60, 8)
    labels = k_means(rows, 5)
    assert len({(a, b) for a, b in zip(truth, labels, strict=True)}) == 5


def test_clusters_are_as_close_as_those_of_scikit_learn() -> None:
    rows = features(drawn(300, 7, 7))
    theirs = KMeans(40, n_init=1, max_iter=10, random_state=0).fit(rows).labels_
    assert spread(rows, k_means(rows, 40)) <= 1.02 * spread(rows, theirs)


def test_clusters_are_the_same_at_every_call() -> None:
    rows = features(drawn(100, 7, 7))
    np.testing.assert_array_equal(k_means(rows, 9), k_means(rows, 9))


def test_equal_rows_need_no_more_than_one_cluster() -> None:
    assert len(cluster_means(np.ones((20, 3, 3), np.float32), 4)) == 1


def test_the_means_of_clusters_are_means_of_masks() -> None:
    masks = drawn(30, 20, 20)
    labels = k_means(features(masks), 6)
    expected = [masks[labels == one].mean(axis=0) for one in range(6)]
    np.testing.assert_allclose(cluster_means(masks, 6), expected, atol=1e-5)


def test_large_masks_are_compared_at_fewer_places() -> None:
    assert features(drawn(3, 56, 28)).shape == (3, 14 * 14)


def test_guesses_are_those_of_a_gaussian_process() -> None:
    known, wanted, scores = drawn(150, 9), drawn(20, 9), drawn(150, 2)
    found = guessed(known, scores, wanted)
    theirs = GaussianProcessRegressor(RBF(found.reach), alpha=UNEXPLAINED, optimizer=None)
    centre = scores.mean(axis=0)
    mean, covariance = theirs.fit(known, scores - centre).predict(wanted, return_cov=True)
    np.testing.assert_allclose(found.mean, mean + centre, atol=1e-4)
    own = covariance[:, :, 0] + UNEXPLAINED * np.eye(20)
    np.testing.assert_allclose(found.covariance(), own, atol=1e-4)


def test_scores_are_drawn_around_the_guess_with_its_variance() -> None:
    guess = guessed(drawn(8, 4), drawn(8, 1), 50 + 1000 * drawn(400, 4))  # nothing is known
    apart = draws(guess) - guess.mean
    expected = float(np.sqrt(guess.variance[0] * (1 + UNEXPLAINED)))
    assert abs(apart.mean()) < 0.1 * expected
    assert abs(apart.std() / expected - 1) < 0.1


def test_correlation_is_pearsons_and_nan_where_a_map_is_constant() -> None:
    first, second = drawn(3, 4, 5), drawn(3, 5, 4).reshape(3, 4, 5)
    second[2] = 1.0
    found = correlation(first, second)
    for one in range(2):
        expected = np.corrcoef(first[one].ravel(), second[one].ravel())[0, 1]
        assert abs(found[one] - expected) < 1e-6
    assert np.isnan(found[2])
