from __future__ import annotations

import numpy as np
import pytest

from kdray.data._duplicates import conflicts, equal, leaking, leaks, merge, near, repeated


def slow_components(num: int, edges: list[tuple[int, int]]) -> list[int]:
    """Return the smallest member of each one's component, by walking the graph."""
    neighbours: dict[int, set[int]] = {place: set() for place in range(num)}
    for one, two in edges:
        neighbours[one].add(two)
        neighbours[two].add(one)
    smallest = []
    for place in range(num):
        reached, left = {place}, [place]
        while left:
            found = neighbours[left.pop()] - reached
            reached |= found
            left += found
        smallest.append(min(reached))
    return smallest


def test_equal_keys_are_one_component() -> None:
    assert equal(["a", "b", "a", "c", "b"]).tolist() == [0, 1, 0, 3, 1]


@pytest.mark.parametrize("block", [3, 7, 64])
def test_near_components_are_those_of_the_slow_way(block: int) -> None:
    random = np.random.default_rng(0)
    bases = random.integers(0, 256, (8, 6, 6))
    images = bases[random.integers(0, 8, 40)] + random.integers(-45, 46, (40, 6, 6))
    thumbnails = np.clip(images, 0, 255).astype(np.uint8)
    edges = [
        (one, two)
        for one in range(40)
        for two in range(one)
        if np.corrcoef(thumbnails[one].ravel(), thumbnails[two].ravel())[0, 1] >= 0.93
    ]
    assert near(thumbnails, 0.93, block=block).tolist() == slow_components(40, edges)


def test_mirrored_and_turned_copies_are_found_where_asked_for() -> None:
    random = np.random.default_rng(0)
    image, other = random.integers(0, 256, (2, 6, 6), dtype=np.uint8)
    copies = [np.rot90(one, turns) for one in (image, image[:, ::-1]) for turns in range(4)]
    thumbnails = np.stack([*copies, other])
    assert near(thumbnails, 0.98).tolist() == list(range(9))
    assert near(thumbnails, 0.98, flips=True).tolist() == [0] * 8 + [8]
    assert near(thumbnails, 0.98, flips=True, block=2).tolist() == [0] * 8 + [8]


def test_brightness_and_contrast_do_not_hide_a_duplicate() -> None:
    image = np.random.default_rng(0).integers(50, 150, (6, 6))
    thumbnails = np.stack([image, image // 2 + 90]).astype(np.uint8)
    assert near(thumbnails, 0.98).tolist() == [0, 0]


def test_an_image_of_one_colour_is_near_to_none() -> None:
    thumbnails = np.stack([np.full((4, 4), value, dtype=np.uint8) for value in (0, 7, 255)])
    assert near(thumbnails, 0.5).tolist() == [0, 1, 2]


def test_very_many_equal_images_are_one_component() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4), dtype=np.uint8)
    assert not near(np.repeat(image[None], 300, axis=0), 0.98, block=64).any()


def test_merging_joins_whatever_one_joins() -> None:
    by_patient = equal(["a", "a", "b", "c", "d"])
    by_pixels = equal(["p", "q", "q", "r", "s"])
    assert merge(by_patient, by_pixels).tolist() == [0, 0, 0, 3, 4]


def test_an_image_leaks_when_its_component_has_a_member_in_the_source() -> None:
    components = np.array([0, 1, 0, 3, 1])
    source = np.array([True, False, False, True, False])
    assert leaking(components, source).tolist() == [True, False, True, True, False]


def test_leaks_are_counted_between_each_pair_of_splits_by_class() -> None:
    splits = ["train", "train", "test", "test", "test", "shifted"]
    labels = ["x", "y", "x", "x", "y", "y"]
    kinds = {"exact": equal("abaqrs"), "any": equal("abaabb")}
    table = leaks(kinds, splits, ("train", "test", "shifted"), labels)
    assert [(row["from"], row["to"], row["of"], row["exact"], row["any"]) for row in table] == [
        ("train", "test", 3, 1, 3),
        ("train", "shifted", 1, 0, 1),
        ("test", "shifted", 1, 0, 1),
    ]
    assert table[0]["per_class"] == {"x": 2, "y": 1}


def test_conflicts_are_components_of_several_classes() -> None:
    found = conflicts(equal("aabb"), ["x", "y", "x", "x"], ["1", "2", "3", "4"])
    assert found == {"groups": 1, "examples": [["1", "2"]]}


def test_repeated_images_are_those_beyond_the_first() -> None:
    assert repeated(equal("aabca")) == 2
