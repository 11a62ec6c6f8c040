from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kdray.data import Views
from kdray.data._random import uniform
from kdray.spec.data import AUGMENTS
from kdray.spec.experiment import Augment, Data

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
STILL = {
    "hflip": False,
    "rotate": 0.0,
    "shift": 0.0,
    "zoom": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
}


def views(seed: int = 0, **changes: Any) -> Views:
    return Views(Augment.model_validate({**STILL, **changes}), seed, MEAN, STD)


def standardised(images: np.ndarray) -> np.ndarray:
    return ((images / 255 - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3), dtype=np.uint8)


def splitmix(words: list[int]) -> int:
    """Return the hash of a chain of words in Python's own integers (splitmix64)."""
    state = 0
    for word in words:
        z = ((state ^ word) + 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        state = z ^ (z >> 31)
    return state


def test_random_numbers_are_those_of_splitmix64() -> None:
    found = uniform(7, 3, [11, 12], 4)
    for row, index in enumerate((11, 12)):
        key = splitmix([7, 3, index])
        for draw in range(4):
            word = (key + draw * 0x9E3779B97F4A7C15) % 2**64
            assert found[row, draw] == (splitmix([word]) >> 11) / 2**53


def test_random_numbers_are_even_between_0_and_1() -> None:
    draws = uniform(0, 0, np.arange(20_000), 2)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.histogram(draws, bins=10, range=(0, 1))[0] == pytest.approx(4000, rel=0.06)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(0, abs=0.03)


def test_plain_images_are_only_standardised(images: np.ndarray) -> None:
    plain = views().plain(images)
    assert plain.dtype == torch.float32
    np.testing.assert_allclose(plain.numpy(), standardised(images), atol=1e-5)


def test_without_changes_a_view_is_the_plain_image(images: np.ndarray) -> None:
    seen = views().train(images, 0, np.arange(9))
    torch.testing.assert_close(seen, views().plain(images), rtol=0, atol=0)


def test_grey_images_have_one_channel(images: np.ndarray) -> None:
    seen = Views(Augment(), 0, MEAN[:1], STD[:1]).train(images[:, :, :, :1], 0, np.arange(9))
    assert seen.shape == (9, 1, 12, 12)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_views_are_identical_whatever_the_batch(images: np.ndarray, size: int) -> None:
    made = Views(Augment(vflip=True), 3, MEAN, STD)
    whole = made.train(images, 2, np.arange(9))
    order = np.random.default_rng(1).permutation(9)
    for start in range(0, 9, size):
        some = order[start : start + size]
        assert torch.equal(made.train(images[some], 2, some), whole[some])


def test_views_are_identical_whatever_the_threads(images: np.ndarray) -> None:
    made = Views(Augment(), 3, MEAN, STD)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = made.train(images, 0, np.arange(9))
        torch.set_num_threads(3)
        assert torch.equal(made.train(images, 0, np.arange(9)), one)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 0), (0, 1)])
def test_another_seed_or_epoch_gives_another_view(
    images: np.ndarray, seed: int, epoch: int
) -> None:
    first = Views(Augment(), 0, MEAN, STD).train(images, 0, np.arange(9))
    assert not torch.equal(
        Views(Augment(), seed, MEAN, STD).train(images, epoch, np.arange(9)), first
    )


def test_the_stored_images_are_left_alone(images: np.ndarray) -> None:
    before = images.copy()
    Views(Augment(), 0, MEAN, STD).train(images, 0, np.arange(9))
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(("flip", "axis"), [("hflip", 2), ("vflip", 1)])
def test_half_of_the_images_are_mirrored(images: np.ndarray, flip: str, axis: int) -> None:
    many = np.repeat(images[:1], 400, axis=0)
    made = views(**{flip: True})
    seen = made.train(many, 0, np.arange(400))
    mirrored = made.plain(np.flip(images[:1], axis).copy())[0]
    straight = made.plain(images[:1])[0]
    turned = [torch.equal(view, mirrored) for view in seen]
    assert all(
        turn or torch.equal(view, straight) for turn, view in zip(turned, seen, strict=True)
    )
    assert 160 <= sum(turned) <= 240


def looked_up(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the pixel at ``x`` and ``y`` bilinearly (0, 0: the first one's centre)."""
    x, y = np.clip(x, 0, image.shape[1] - 1), np.clip(y, 0, image.shape[0] - 1)
    left, top = int(x), int(y)
    right, below = min(left + 1, image.shape[1] - 1), min(top + 1, image.shape[0] - 1)
    upper = image[top, left] * (left + 1 - x) + image[top, right] * (x - left)
    lower = image[below, left] * (left + 1 - x) + image[below, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def test_a_warp_turns_zooms_and_shifts_pixel_by_pixel(images: np.ndarray) -> None:
    seen = views(rotate=30.0, shift=0.1, zoom=0.2).train(images, 4, np.arange(9)).numpy()
    draws = 2 * uniform(0, 4, np.arange(9), 8) - 1
    for number, image in enumerate(images.astype(np.float64)):
        angle, scale = np.radians(30) * draws[number, 2], 1 + 0.2 * draws[number, 5]
        shift = 12 * 0.1 * draws[number, 3:5]  # pixels, x then y
        expected = np.zeros((12, 12, 3))
        for row, column in np.ndindex(12, 12):
            x, y = column - 5.5, row - 5.5  # from the middle of the image
            across = (np.cos(angle) * x - np.sin(angle) * y) / scale - shift[0]
            down = (np.sin(angle) * x + np.cos(angle) * y) / scale - shift[1]
            expected[row, column] = looked_up(image, across + 5.5, down + 5.5)
        np.testing.assert_allclose(seen[number], standardised(expected[None])[0], atol=2e-4)


def test_brightness_is_a_factor_within_its_limits() -> None:
    grey = np.full((200, 4, 4, 3), 100, dtype=np.uint8)
    seen = views(brightness=0.2).train(grey, 0, np.arange(200)).numpy()
    factors = (seen[:, 0, 0, 0] * STD[0] + MEAN[0]) / (100 / 255)
    assert factors.min() >= 0.8 - 1e-5
    assert factors.max() <= 1.2 + 1e-5
    assert factors.max() - factors.min() > 0.35


def test_contrast_leaves_the_mean_of_the_train_split_where_it_is() -> None:
    mean = np.tile(np.round(np.array([0.4, 0.6, 0.6]) * 255).astype(np.uint8), (50, 4, 4, 1))
    made = Views(Augment.model_validate({**STILL, "contrast": 0.5}), 0, (0.4, 0.6, 0.6), STD)
    np.testing.assert_allclose(made.train(mean, 0, np.arange(50)).numpy(), 0, atol=1e-4)


def test_changed_images_stay_within_eight_bits(images: np.ndarray) -> None:
    seen = views(brightness=1.0, contrast=1.0).train(images, 0, np.arange(9)).numpy()
    back = seen.transpose(0, 2, 3, 1) * np.array(STD) + np.array(MEAN)
    assert back.min() >= -1e-5
    assert back.max() <= 1 + 1e-5


def test_switching_a_change_on_leaves_the_draws_of_the_others(images: np.ndarray) -> None:
    flipped = views(hflip=True).train(images, 0, np.arange(9))
    both = views(hflip=True, brightness=1e-9).train(images, 0, np.arange(9))
    torch.testing.assert_close(flipped, both)


def test_half_of_the_images_are_sharpened_as_torchvision_does(images: np.ndarray) -> None:
    from torchvision.transforms import functional

    made = views(sharpness=2.0)
    many = np.concatenate([images] * 20)
    seen = made.train(many, 3, np.arange(len(many)))
    plain = made.plain(many)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    sharp = functional.adjust_sharpness(pixels, 2.0) * 255
    expected = standardised(np.concatenate([sharp.permute(0, 2, 3, 1).numpy()] * 20))
    changed = [not torch.equal(view, one) for view, one in zip(seen, plain, strict=True)]
    assert 60 <= sum(changed) <= 120
    np.testing.assert_allclose(seen[changed], expected[changed], atol=1e-4)


def test_a_blur_is_torchvisions_with_a_sigma_drawn_for_each_image(images: np.ndarray) -> None:
    from torchvision.transforms import functional

    seen = views(blur=5).train(images, 2, np.arange(9))
    sigmas = 0.1 + 1.9 * uniform(0, 2, np.arange(9), 10)[:, 9]
    assert sigmas.max() - sigmas.min() > 0.5
    for number, sigma in enumerate(sigmas):
        pixels = torch.from_numpy(images[number]).permute(2, 0, 1).double()
        blurred = functional.gaussian_blur(pixels, [5, 5], [float(sigma)] * 2)
        expected = standardised(blurred.permute(1, 2, 0).numpy()[None])[0]
        np.testing.assert_allclose(seen[number], expected, atol=1e-4)


def test_a_blur_may_be_wider_than_the_image() -> None:
    grey = np.full((2, 3, 3, 3), 100, dtype=np.uint8)
    made = views(blur=31)
    torch.testing.assert_close(made.train(grey, 0, [0, 1]), made.plain(grey))


def test_a_view_of_all_changes_is_the_same_in_any_batch(images: np.ndarray) -> None:
    made = Views(
        Data.model_validate({"source": "phantom", "augment": "hdkd"}).augment, 0, MEAN, STD
    )
    whole = made.train(images, 1, np.arange(9))
    for place in (0, 4, 8):
        assert torch.equal(made.train(images[[place]], 1, [place])[0], whole[place])


@pytest.mark.parametrize("augment", ["light", "hdkd"])
def test_parts_of_a_large_batch_are_that_batch_whatever_the_threads(augment: str) -> None:
    many = np.random.default_rng(1).integers(0, 256, (11, 61, 61, 3), dtype=np.uint8)
    chosen = Data.model_validate({"source": "phantom", "augment": augment}).augment
    made = Views(chosen, 5, MEAN, STD)
    whole = made.train(many, 2, np.arange(11))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        parts = [made.train(many[at : at + 4], 2, np.arange(11)[at : at + 4]) for at in (0, 4, 8)]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.cat(parts), whole)


def test_images_on_the_device_give_the_views_of_those_in_memory(images: np.ndarray) -> None:
    made = Views(Augment(), 3, MEAN, STD)
    there = torch.from_numpy(images)
    assert torch.equal(made.train(there, 2, np.arange(9)), made.train(images, 2, np.arange(9)))
    assert torch.equal(made.plain(there), made.plain(images))
    np.testing.assert_array_equal(there.numpy(), images)


def test_augmentations_have_names() -> None:
    found = {
        name: Data.model_validate({"source": "phantom", "augment": name}).augment
        for name in AUGMENTS
    }
    assert found["light"] == Augment()
    assert found["none"] == Augment.model_validate(STILL)
    assert (found["hdkd"].rotate, found["hdkd"].sharpness, found["hdkd"].blur) == (180, 2, 3)
    with pytest.raises(ValueError, match="there are none, light, hdkd"):
        Data.model_validate({"source": "phantom", "augment": "strong"})


def test_a_blur_of_an_even_side_is_refused() -> None:
    with pytest.raises(ValueError, match="is odd"):
        Augment(blur=4)
