"""Calibration, prediction sets and unknown images, on data whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from kdray import measure
from kdray.confidence import Confidence, bank_size, calibration_error, softmax
from kdray.errors import RegistryError

Floats = NDArray[np.float32]


def drawn(count: int, classes: int = 4, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Return logits whose softmax is the very probability of each class, and true classes."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (count, classes)).astype(np.float32)
    chosen = (softmax(logits).cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
    return logits, chosen


def features(count: int, seed: int, size: int = 32) -> Floats:
    """Return features around one of three directions."""
    random = np.random.default_rng(seed)
    centres = np.eye(3, size)[random.integers(0, 3, count)]
    return np.asarray(centres + random.normal(0, 0.1, (count, size)), dtype=np.float32)


def confident(count: int = 500, factor: float = 1.0) -> Confidence:
    logits, labels = drawn(count)
    return Confidence.fitted(
        logits * np.float32(factor), labels, features(count, 1), features(300, 2)
    )


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_of_logits_that_are_too_large_is_how_much_too_large(
    factor: float,
) -> None:
    assert confident(20_000, factor).temperature == pytest.approx(factor, rel=0.03)


def test_calibration_takes_most_of_the_error_away() -> None:
    known = confident(20_000, 3.0).facts()
    assert known["ece_before"] > 0.1
    assert known["ece_after"] < 0.02
    assert known["loss_after"] < known["loss_before"]


def test_no_other_temperature_has_a_smaller_loss() -> None:
    logits, labels = drawn(500)
    best = Confidence.fitted(logits, labels, features(500, 1)).temperature
    losses = [
        -np.log(softmax(logits, one)[np.arange(500), labels]).mean()
        for one in (best / 1.05, best, best * 1.05)
    ]
    assert losses[1] == min(losses)


def test_where_no_image_is_wrong_probabilities_stay_as_they_are() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    found = Confidence.fitted(logits, np.array([0, 1]), features(2, 1))
    assert found.temperature == 1.0


def test_a_temperature_changes_no_prediction() -> None:
    logits, _ = drawn(200)
    found = confident(factor=4.0).probabilities(logits)
    np.testing.assert_array_equal(found.argmax(axis=1), logits.argmax(axis=1))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_the_calibration_error_is_that_of_the_measured_scores() -> None:
    logits, labels = drawn(400)
    expected = measure.scores(logits, labels, ["a", "b", "c", "d"])["ece"]
    assert calibration_error(softmax(logits), labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.99])
def test_as_many_of_new_images_as_chosen_have_their_class_in_the_set(coverage: float) -> None:
    # Over many splits of exchangeable images, coverage is between 1 - a and 1 - a + 1/(n + 1);
    # the predicted class in every set adds a little where the chosen coverage is low.
    hits = []
    for seed in range(40):
        logits, labels = drawn(600, seed=seed)
        found = Confidence.fitted(logits[:300], labels[:300], features(300, seed))
        sets = found.sets(found.probabilities(logits[300:]), coverage)
        hits += [label in members for label, members in zip(labels[300:], sets, strict=True)]
    deviation = np.sqrt(coverage * (1 - coverage) / 300 / 40 * 2)  # fitted and new images vary
    assert np.mean(hits) >= coverage - 4 * deviation
    if coverage >= 0.8:
        assert np.mean(hits) <= coverage + 1 / 301 + 4 * deviation


def test_the_limit_is_the_score_of_the_rank_with_one_image_more() -> None:
    scores = np.linspace(0.1, 0.9, 9).astype(np.float32)
    found = Confidence(1.0, scores, None, None, {})
    # ceil((9 + 1) * 0.9) = 9, the largest; more coverage than that needs more images.
    assert found.limit(0.9) == pytest.approx(0.9)
    assert found.limit(0.5) == pytest.approx(0.5)
    assert found.limit(0.91) == np.inf


@pytest.mark.parametrize(("coverage", "size"), [(0.0, 1), (1.0, 4)])
def test_no_coverage_leaves_the_prediction_and_full_coverage_all_classes(
    coverage: float, size: int
) -> None:
    found = confident()
    logits, _ = drawn(20, seed=3)
    sets = found.sets(found.probabilities(logits), coverage)
    assert {len(members) for members in sets} == {size}
    assert [members[0] for members in sets] == logits.argmax(axis=1).tolist()


def test_with_too_few_images_for_the_coverage_a_set_holds_all_classes() -> None:
    logits, labels = drawn(8)
    found = Confidence.fitted(logits, labels, features(8, 1))
    assert len(found.sets(found.probabilities(logits), 0.9)[0]) == 4


def test_a_set_grows_with_the_coverage_and_begins_with_the_likeliest() -> None:
    found = confident()
    probabilities = found.probabilities(drawn(50, seed=4)[0])
    small, large = (found.sets(probabilities, coverage) for coverage in (0.7, 0.95))
    assert all(set(less) <= set(more) for less, more in zip(small, large, strict=True))
    assert [members[0] for members in large] == probabilities.argmax(axis=1).tolist()


@pytest.mark.parametrize("coverage", [-0.1, 1.1])
def test_a_coverage_beyond_0_and_1_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="coverage"):
        confident().limit(coverage)


def test_new_images_of_the_same_kind_are_spread_evenly_over_the_scores() -> None:
    found = confident(1000).ood(features(1000, 9))
    assert found is not None
    assert np.quantile(found, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


def test_images_of_another_kind_are_farther_than_all_known_ones() -> None:
    strange = np.random.default_rng(5).normal(0, 1, (50, 32)).astype(np.float32)
    found = confident().ood(strange)
    assert found is not None
    assert found.min() > 0.99


def test_the_score_is_the_share_of_validation_images_nearer_to_the_tenth_neighbour() -> None:
    known, bank, new = features(40, 1), features(60, 2), features(5, 3)
    logits, labels = drawn(40)
    found = Confidence.fitted(logits, labels, known, bank)
    deviation = bank.std(axis=0) + 1e-3 * bank.std()

    def tenth(one: Floats) -> float:
        return sorted(np.linalg.norm((one - row) / deviation) for row in bank)[9]

    limits = [tenth(one) for one in known]
    expected = [np.mean([limit < tenth(one) for limit in limits]) for one in new]
    np.testing.assert_allclose(found.ood(new), expected, atol=1e-6)


def test_a_channel_that_no_training_image_ever_used_does_not_drown_the_others() -> None:
    logits, labels = drawn(300)
    known, bank, new = (np.pad(features(300, seed), ((0, 0), (0, 1))) for seed in (1, 2, 3))
    found = Confidence.fitted(logits, labels, known, bank)
    assert found.ood(new) is not None
    assert np.mean(found.ood(new)) == pytest.approx(0.5, abs=0.1)
    new[:, -1] = 1.0
    assert np.min(found.ood(new)) > 0.99


def test_without_training_images_nothing_is_said_of_unknown_ones() -> None:
    logits, labels = drawn(20)
    assert Confidence.fitted(logits, labels, features(20, 1)).ood(features(2, 2)) is None


def test_a_bank_holds_a_thousand_images_or_what_is_looked_through_quickly() -> None:
    assert bank_size(16) == 1000
    assert bank_size(2048) == 195  # 400,000 numbers
    logits, labels = drawn(20)
    wide = Confidence.fitted(logits, labels, features(20, 1, 2048), features(400, 2, 2048))
    assert wide.bank is not None
    assert wide.bank.features.shape == (195, 2048)


def test_what_was_written_answers_exactly_as_what_was_fitted(tmp_path: Path) -> None:
    found = confident()
    save_file(found.arrays(), tmp_path / "arrays.safetensors")
    read = Confidence.read(found.facts(), load_file(tmp_path / "arrays.safetensors"))
    logits, seen = drawn(30, seed=7)[0], features(30, 8)
    probabilities = read.probabilities(logits)
    np.testing.assert_array_equal(probabilities, found.probabilities(logits))
    assert read.sets(probabilities, 0.9) == found.sets(probabilities, 0.9)
    np.testing.assert_array_equal(read.ood(seen), found.ood(seen))
    assert read.facts() == found.facts()


@pytest.mark.parametrize("missing", ["temperature", "confidence.scores"])
def test_a_confidence_that_lacks_something_is_refused(missing: str) -> None:
    found = confident(20)
    facts, arrays = found.facts(), found.arrays()
    facts.pop(missing, None)
    arrays.pop(missing, None)
    with pytest.raises(RegistryError, match="is damaged"):
        Confidence.read(facts, arrays)


def test_no_validation_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="no validation images"):
        Confidence.fitted(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), features(1, 1))
