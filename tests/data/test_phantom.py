from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from kdray.data import Row, phantom
from kdray.data._duplicates import near

SMALL = phantom.Params(num_images=40, size=32)


def pixels(row: Row) -> np.ndarray:
    image = row.read()
    assert isinstance(image, np.ndarray)
    return image


def test_a_scan_is_the_same_whenever_it_is_drawn() -> None:
    first, again = list(phantom.rows(SMALL)), list(phantom.rows(SMALL))
    for number in (31, 0):
        np.testing.assert_array_equal(pixels(first[number]), pixels(again[number]))


def test_a_scan_does_not_depend_on_how_many_there_are() -> None:
    more = list(phantom.rows(SMALL.model_copy(update={"num_images": 80})))
    np.testing.assert_array_equal(pixels(list(phantom.rows(SMALL))[5]), pixels(more[5]))


def test_another_seed_draws_other_scans() -> None:
    other = next(phantom.rows(SMALL.model_copy(update={"seed": 1})))
    assert (pixels(other) != pixels(next(phantom.rows(SMALL)))).any()


def test_scans_are_grey_bytes_of_the_size_asked_for() -> None:
    image = pixels(next(phantom.rows(SMALL)))
    assert (image.shape, image.dtype) == ((32, 32), np.uint8)


def test_the_classes_are_even() -> None:
    counts = Counter(row.label for row in phantom.rows(SMALL))
    assert counts == dict.fromkeys(SMALL.classes, 10)


def test_a_patient_has_several_scans() -> None:
    counts = Counter(row.group for row in phantom.rows(SMALL))
    assert set(counts.values()) == {phantom.SCANS_PER_PATIENT}


@pytest.mark.parametrize("kind", ["solid", "ring", "speckled", "lobed"])
def test_the_mask_covers_the_lesion(kind: str) -> None:
    """The lesion is the only thing that grows with the contrast inside the mask."""
    weak = phantom.Params(num_images=8, size=32, classes=("none", kind), noise=0, contrast=0.05)
    strong = weak.model_copy(update={"contrast": 0.5})
    for low, high in zip(phantom.rows(weak), phantom.rows(strong), strict=True):
        assert low.mask is not None
        if low.label == kind:
            mask = low.mask()
            growth = pixels(high).astype(int) - pixels(low)
            assert 10 < mask.sum() < 0.25 * mask.size
            assert growth[mask].mean() > 4 * growth[~mask].mean()


def test_a_scan_without_a_lesion_has_an_empty_mask() -> None:
    for row in phantom.rows(SMALL):
        assert row.mask is not None
        assert row.mask().any() == (row.label != "none")


def test_all_kinds_of_lesion_are_equally_bright_on_average() -> None:
    kinds = ("solid", "ring", "speckled", "lobed")
    params = phantom.Params(num_images=240, size=32, classes=kinds)
    means: dict[str, list[float]] = {kind: [] for kind in kinds}
    for row in phantom.rows(params):
        assert row.mask is not None
        means[row.label].append(float(pixels(row)[row.mask()].mean()))
    brightness = [float(np.mean(values)) for values in means.values()]
    assert max(brightness) < 1.1 * min(brightness)


def test_different_patients_are_no_near_duplicates() -> None:
    params = phantom.Params(num_images=80)
    scans = [pixels(row) for row in phantom.rows(params)]
    components = near(np.stack(scans), 0.98)
    patients = np.arange(80) // phantom.SCANS_PER_PATIENT
    for component in np.unique(components):
        assert len(np.unique(patients[components == component])) == 1


@pytest.mark.parametrize("classes", [["ring"], ["ring", "ring"]])
def test_two_different_classes_are_needed(classes: list[str]) -> None:
    with pytest.raises(ValidationError, match="two or more classes, each once"):
        phantom.Params(classes=classes)


def test_the_fingerprint_is_of_the_settings() -> None:
    assert phantom.fingerprint(SMALL) == phantom.fingerprint(SMALL.model_copy())
    assert phantom.fingerprint(SMALL) != phantom.fingerprint(SMALL.model_copy(update={"seed": 3}))
