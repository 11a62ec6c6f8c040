from __future__ import annotations

import numpy as np
import pytest
import torch

from kdray.measure import map_agreement, top1_agreement


def corner(row: int, column: int, size: int = 5) -> np.ndarray:
    heat = np.zeros((size, size))
    heat[row, column] = 1.0
    return heat


def two(count: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.random((count, size, size)), random.random((count, size, size))


def test_equal_maps_agree_wholly() -> None:
    maps, _ = two(3)
    found = map_agreement(maps, maps)
    for name in ("pearson", "ssim", "iou20"):
        assert found[name] == pytest.approx([1, 1, 1])


def test_pearson_and_ssim_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional import pearson_corrcoef
    from torchmetrics.functional.image import structural_similarity_index_measure

    ours, theirs = two(4)
    theirs = 0.6 * ours + 0.4 * theirs
    found = map_agreement(ours, theirs)
    first, second = (torch.from_numpy(maps) for maps in (ours, theirs))
    _, places = structural_similarity_index_measure(
        first[:, None], second[:, None], data_range=1.0, reduction="none", return_full_image=True
    )
    # Its mean takes in the mirrored edges too, ours the places where the window fits.
    assert found["ssim"] == pytest.approx(places[:, 0, 5:-5, 5:-5].mean(dim=(1, 2)).numpy())
    correlations = pearson_corrcoef(first.flatten(1).T, second.flatten(1).T)
    assert found["pearson"] == pytest.approx(correlations.numpy())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_the_ssim_of_maps_smaller_than_its_window_is_defined(size: int) -> None:
    maps, others = two(2, size)
    if size > 1:
        assert map_agreement(maps, maps)["ssim"] == pytest.approx([1, 1])
        assert (map_agreement(maps, others)["ssim"] < 1).all()
    else:
        assert np.isnan(map_agreement(maps, maps)["ssim"]).all()  # one pixel is a blank map


def test_the_overlap_of_the_top_20_percent_by_hand() -> None:
    # 10 pixels: the two highest of each lie above the 80th percentile; they share one.
    ours = np.arange(10.0).reshape(1, 2, 5)
    theirs = ours.copy()
    theirs[0, 1, 3], theirs[0, 0, 0] = 0.0, 8.0
    assert map_agreement(ours, theirs)["iou20"] == pytest.approx([1 / 3])


def test_chance_is_the_teachers_map_against_the_students_of_other_images() -> None:
    ours, theirs = two(4)
    table = [[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in theirs] for a in ours]
    others = [np.mean([table[i][j] for j in range(4) if j != i]) for i in range(4)]
    assert map_agreement(ours, theirs)["chance_pearson"] == pytest.approx(others)


def test_chance_takes_ten_other_images_of_many() -> None:
    ours, theirs = two(14, 4)
    found = map_agreement(ours, theirs)["chance_pearson"][0]
    table = [np.corrcoef(ours[0].ravel(), other.ravel())[0, 1] for other in theirs[1:]]
    assert min(table) < found < max(table)
    assert found != pytest.approx(np.mean(table))
    assert np.array_equal(found, map_agreement(ours, theirs)["chance_pearson"][0])
    assert found != map_agreement(ours, theirs, seed=1)["chance_pearson"][0]


def test_maps_that_always_look_at_the_same_place_agree_no_more_than_by_chance() -> None:
    maps = np.stack([corner(2, 2)] * 3)
    found = map_agreement(maps, maps)
    assert found["pearson"] == pytest.approx([1, 1, 1])
    for name in ("pearson", "ssim"):
        assert found[f"chance_{name}"] == pytest.approx(found[name])


def test_a_single_image_has_no_chance_level() -> None:
    maps = corner(0, 0)[None]
    found = map_agreement(maps, maps)
    assert all(np.isnan(found[f"chance_{name}"]) for name in ("pearson", "ssim", "iou20"))


def test_blank_and_nan_maps_have_no_agreement_and_are_nobodys_chance() -> None:
    maps, _ = two(4)
    spoiled = maps.copy()
    spoiled[0] = 0.5
    spoiled[1, 0, 0] = np.nan
    found = map_agreement(maps, spoiled)
    assert np.isfinite(found["pearson"]).tolist() == [False, False, True, True]
    # Image 2 has but image 3 to be compared with; images 0 and 1 have a teacher's map each.
    wanted = np.corrcoef(maps[2].ravel(), maps[3].ravel())[0, 1]
    assert found["chance_pearson"][2] == pytest.approx(wanted)
    assert np.isfinite(found["chance_pearson"]).all()


def test_no_images_give_no_values() -> None:
    nothing = np.zeros((0, 3, 3))
    assert all(len(values) == 0 for values in map_agreement(nothing, nothing).values())


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        map_agreement(np.zeros((1, 2, 8)), np.zeros((1, 4, 4)))


def test_student_and_teacher_agree_where_they_call_an_image_the_same() -> None:
    student = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    teacher = np.array([[3.0, 1.0], [1.0, 3.0], [-1.0, 0.0]])
    assert top1_agreement(student, teacher).tolist() == [1, 0, 1]
