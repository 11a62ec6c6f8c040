from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch
from captum.attr import GradientShap, KernelShap
from pydantic import ValidationError
from torch import Tensor, nn

from kdray.explain import Subject, explain_with
from kdray.explain._hidden import baseline_of
from kdray.explain._superpixels import superpixels
from kdray.explain.shap import Params, explain, shapley
from kdray.net import Net

CLASSES = torch.tensor([[0, 2], [1, 1]])
METHODS = ["gradient", "kernel"]


def made(channels: int = 3, *, linear: bool = False) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bend = nn.Identity() if linear else nn.GELU()
        first = nn.Conv2d(channels, 6, 3, stride=2)
        return Net(nn.Sequential(first, bend, nn.Flatten(), nn.Linear(6 * 49, 3)))


def pixels(channels: int = 3) -> Tensor:
    return torch.randn(2, channels, 16, 16, generator=torch.Generator().manual_seed(1))


def raw(net: Net, images: Tensor, **params: object) -> Tensor:
    settings = Params.model_validate({"sign": "absolute", **params})
    return torch.from_numpy(explain(settings, Subject(net), images, CLASSES).maps)


def test_gradients_of_a_linear_model_give_its_weights_times_the_image() -> None:
    net, images = made(linear=True), pixels()
    leaf = images.clone().requires_grad_()
    net.module(leaf).gather(1, CLASSES[:, :1]).sum().backward()
    assert leaf.grad is not None
    expected = (leaf.grad * images).sum(1).abs()
    torch.testing.assert_close(raw(net, images, samples=2)[:, 0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("baseline", ["mean", "blurred", "darkest"])
def test_gradients_agree_with_captum_on_many_samples(channels: int, baseline: str) -> None:
    net, images = made(channels), pixels(channels)
    ours = raw(net, images, samples=100, baseline=baseline)
    behind = baseline_of(images, baseline)  # type: ignore[arg-type]
    before = np.random.get_state(), torch.get_rng_state()
    for image in range(2):
        one = slice(image, image + 1)
        theirs = GradientShap(net.module).attribute(
            images[one], behind[one], n_samples=2000, target=int(CLASSES[image, 1])
        )
        expected = theirs.sum(1)[0].abs().flatten()
        assert np.corrcoef(ours[image, 1].flatten(), expected)[0, 1] > 0.998
    np.random.set_state(before[0])
    torch.set_rng_state(before[1])


def test_gradients_add_up_to_what_the_image_adds_to_the_score() -> None:
    net, images = made(), pixels()
    settings = Params(samples=200)
    found = explain(settings, Subject(net), images, CLASSES).maps
    away = explain(settings.model_copy(update={"sign": "absolute"}), Subject(net), images, CLASSES)
    total = (2 * found - away.maps).sum((2, 3))
    with torch.no_grad():
        gain = net.module(images) - net.module(torch.zeros_like(images))
    np.testing.assert_allclose(total, gain.gather(1, CLASSES), rtol=1e-2, atol=1e-3)


def by_definition(value: dict[frozenset[int], float], parts: int) -> list[float]:
    """Return the mean over all orders of what each part adds."""
    found = []
    for part in range(parts):
        others = [one for one in range(parts) if one != part]
        total = 0.0
        for size in range(parts):
            weight = factorial(size) * factorial(parts - size - 1) / factorial(parts)
            for some in combinations(others, size):
                total += weight * (value[frozenset({*some, part})] - value[frozenset(some)])
        found.append(total)
    return found


def test_the_regression_gives_the_shapley_values_of_the_definition() -> None:
    parts, random = 4, np.random.default_rng(0)
    subsets = [frozenset(s) for size in range(5) for s in combinations(range(4), size)]
    value = {one: float(random.normal()) for one in subsets}
    # Each subset as often as the Shapley kernel weighs it: 1/4 for sizes 1 and 3, 1/8 for 2,
    # of the sizes' weights 1 / (size (4 - size)) spread over 4, 6 and 4 subsets.
    times = {0: 1, 1: 2, 2: 1, 3: 2, 4: 1}
    rows = [subsets[0], subsets[-1]]
    rows += [one for one in subsets[1:-1] for _ in range(times[len(one)])]
    stays = torch.tensor([[part in one for part in range(parts)] for one in rows])
    scores = torch.tensor([[value[one]] for one in rows], dtype=torch.float64)
    found = shapley(stays, scores)[:, 0]
    np.testing.assert_allclose(found.numpy(), by_definition(value, parts), rtol=1e-9)


def test_the_superpixels_of_a_linear_model_get_what_hiding_them_takes() -> None:
    net, images = made(linear=True), pixels()
    maps = raw(net, images, method="kernel", superpixels="grid", segments=16, coalitions=40)
    with torch.no_grad():
        for row, column in [(0, 0), (1, 3), (2, 2)]:
            places = (slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
            hidden = images.clone()
            hidden[:, :, places[0], places[1]] = 0.0
            falls = (net.module(images) - net.module(hidden)).gather(1, CLASSES).abs()
            expected = falls[:, :, None, None].expand(-1, -1, 4, 4)
            torch.testing.assert_close(
                maps[:, :, places[0], places[1]], expected, rtol=1e-3, atol=1e-4
            )


def test_superpixels_agree_with_captum_on_many_coalitions() -> None:
    net, images = made(), pixels()
    ours = raw(net, images, method="kernel", superpixels="grid", segments=9, coalitions=500)
    mask = superpixels(images[0], 9, "grid")[None, None]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = KernelShap(net.module.eval()).attribute(
            images[:1], target=2, feature_mask=mask, n_samples=1500, perturbations_per_eval=50
        )
    assert np.corrcoef(ours[0, 1].flatten(), theirs[0, 0].abs().flatten())[0, 1] > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_an_image_has_the_same_map_each_time_and_in_any_company(method: str) -> None:
    net, images = made(), pixels()
    state = torch.get_rng_state()
    first = raw(net, images, method=method)
    again = explain(
        Params(method=method, sign="absolute"),  # type: ignore[arg-type]
        Subject(net),
        images[1:],
        CLASSES[1:],
    ).maps
    torch.testing.assert_close(torch.from_numpy(again[0]), first[1], rtol=1e-4, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(raw(net, images, method=method, seed=1), first)


@pytest.mark.parametrize(("preset", "asked"), [("gradient-shap", 20), ("kernel-shap", 202)])
def test_all_classes_share_the_forward_passes(preset: str, asked: int) -> None:
    found = explain_with(preset, Subject(made()), pixels(), CLASSES)
    assert found.forwards == 2 * asked
    assert not found.degenerate


@pytest.mark.parametrize("method", METHODS)
def test_a_class_that_nothing_speaks_for_has_a_reason(method: str) -> None:
    class Darkness(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([-images.square().sum((1, 2, 3))] * 3, dim=1)

    found = explain_with("shap", Subject(Net(Darkness())), pixels(), CLASSES, {"method": method})
    assert list(found.degenerate) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all("no part of the image speaks" in one for one in found.degenerate.values())


@pytest.mark.parametrize("channels", [1, 3])
def test_superpixels_follow_an_edge_of_the_image(channels: int) -> None:
    image = torch.zeros(channels, 32, 32)
    image[:, :, 11:] = 1.0
    parts = superpixels(image, 16, "slic")
    assert set(parts[:, :11].flatten().tolist()).isdisjoint(parts[:, 11:].flatten().tolist())
    assert sorted(set(parts.flatten().tolist())) == list(range(int(parts.max()) + 1))


def test_an_image_of_one_colour_is_cut_into_squares() -> None:
    image = torch.ones(3, 16, 16)
    assert torch.equal(superpixels(image, 16, "slic"), superpixels(image, 16, "grid"))


def test_fewer_coalitions_than_superpixels_are_refused() -> None:
    with pytest.raises(ValidationError, match="could not be told apart"):
        Params(segments=300)
