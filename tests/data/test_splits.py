from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kdray.data._splits import assign, split_name
from kdray.errors import DataError
from kdray.spec.experiment import Splits


def divide(
    given: list[str | None],
    labels: list[int] | None = None,
    groups: list[int] | None = None,
    **shares: object,
) -> list[str]:
    labels = labels or [0] * len(given)
    groups = groups or list(range(len(given)))
    names = [f"group {group}" for group in groups]
    settings = Splits.model_validate(shares)
    return assign(given, np.array(labels), np.array(groups), names, settings)


def test_shares_are_met_for_each_class() -> None:
    labels = [0] * 100 + [1] * 20
    splits = divide([None] * 120, labels, val=0.15, test=0.2)
    for label, size in ((0, 100), (1, 20)):
        counts = Counter(split for split, one in zip(splits, labels, strict=True) if one == label)
        assert counts == {"train": 0.65 * size, "val": 0.15 * size, "test": 0.2 * size}


def test_no_group_is_cut() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 60, 300).tolist()
    labels = random.integers(0, 3, 300).tolist()
    splits = divide([None] * 300, labels, groups)
    of_group: dict[int, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        of_group.setdefault(group, set()).add(split)
    assert all(len(found) == 1 for found in of_group.values())


def test_mixed_groups_still_meet_the_shares_nearly() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(100), 4).tolist()
    labels = random.integers(0, 4, 400)
    splits = np.array(divide([None] * 400, labels.tolist(), groups, val=0.2, test=0.2))
    for label in range(4):
        share = (splits[labels == label] == "val").mean()
        assert share == pytest.approx(0.2, abs=0.05)


def test_the_same_seed_divides_alike_whatever_the_order() -> None:
    labels = [place % 3 for place in range(90)]
    order = np.random.default_rng(0).permutation(90).tolist()
    straight = divide([None] * 90, labels)
    mixed = divide([None] * 90, [labels[place] for place in order], order)
    assert [straight[place] for place in order] == mixed


def test_another_seed_divides_otherwise() -> None:
    assert divide([None] * 90, seed=1) != divide([None] * 90, seed=2)


def test_given_splits_stay() -> None:
    given = ["train", "val", "test", "shifted", "train"]
    assert divide(list(given)) == given


def test_validation_is_taken_from_the_given_train() -> None:
    given: list[str | None] = ["train"] * 20 + ["test"] * 5
    splits = divide(given, val=0.2)
    assert Counter(splits[:20]) == {"train": 16, "val": 4}
    assert splits[20:] == ["test"] * 5


def test_a_missing_test_is_taken_from_train_too() -> None:
    given: list[str | None] = ["train"] * 20 + ["shifted"] * 5
    assert Counter(divide(given, val=0.2, test=0.2)) == {
        "train": 12,
        "val": 4,
        "test": 4,
        "shifted": 5,
    }


def test_no_test_is_made_where_none_is_wanted() -> None:
    assert set(divide([None] * 20, test=0.0)) == {"train", "val"}


def test_images_without_a_split_are_divided_beside_given_tests() -> None:
    splits = divide([None] * 20 + ["shifted"] * 3, val=0.2, test=0.2)
    assert Counter(splits) == {"train": 12, "val": 4, "test": 4, "shifted": 3}


def test_some_train_and_some_undivided_is_an_error() -> None:
    with pytest.raises(DataError, match="1 images have no split, but 2 are given as train"):
        divide([None, "train", "train"])


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(DataError, match="no image is to train on"):
        divide(["test", "shifted"])


def test_a_single_group_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="no group of images is left for val"):
        divide([None] * 10, groups=[0] * 10)


def test_given_splits_can_be_divided_anew() -> None:
    given: list[str | None] = ["train"] * 10 + ["val"] * 4 + ["test"] * 6 + ["shifted"] * 2
    splits = divide(given, val=0.2, test=0.2, use_given=False)
    assert splits == divide([None] * 20 + ["shifted"] * 2, val=0.2, test=0.2)


def folded(num: int, k: int, **options: object) -> list[list[str]]:
    labels = [place % 3 for place in range(num)]
    groups = [place // 2 for place in range(num)]
    return [
        divide([None] * num, labels, groups, val=0.2, folds={"k": k, "fold": fold}, **options)
        for fold in range(k)
    ]


def test_every_image_is_in_the_test_of_one_fold() -> None:
    tests = np.array(folded(90, 5)) == "test"
    assert (tests.sum(axis=0) == 1).all()
    assert (tests.sum(axis=1) == 18).all()


def test_folds_have_the_classes_and_validation_evenly_and_cut_no_group() -> None:
    for splits in folded(90, 3):
        found = np.array(splits)
        assert Counter(splits) == {"train": 42, "val": 18, "test": 30}
        assert [(found[label::3] == "test").sum() for label in range(3)] == [10, 10, 10]
        assert (found[::2] == found[1::2]).all()


def test_folds_beside_a_given_test_are_an_error_unless_it_is_ignored() -> None:
    given: list[str | None] = ["train"] * 10 + ["test"] * 10
    with pytest.raises(DataError, match="use_given: false"):
        divide(given, folds={})
    assert Counter(divide(given, val=0.2, folds={}, use_given=False))["test"] == 4


@pytest.mark.parametrize(
    "shares", [{"folds": {"k": 5, "fold": 5}}, {"val": 0.5, "folds": {"k": 2}}]
)
def test_impossible_folds_are_refused(shares: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"numbered from 0|nothing is left"):
        Splits.model_validate(shares)


def test_names_of_splits_are_known_in_any_case() -> None:
    names = ["Training", "VALID", "test ", "shifted"]
    assert [split_name(name) for name in names] == ["train", "val", "test", None]
