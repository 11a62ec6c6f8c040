from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdray.explain import Explanation, Subject, explain_with
from kdray.net import Net, Tap

CLASSES = torch.tensor([[0, 1], [1, 2]])


@pytest.fixture
def subject() -> Subject:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Sequential(nn.Conv2d(3, 60, 3, stride=3), nn.ReLU())
        module = nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(60, 3))
        module[4].weight.data *= 10
    return Subject(Net(module.eval(), {"cam": Tap("1")}))


@pytest.fixture
def photos() -> Tensor:
    rough = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(rough, (18, 18), mode="bilinear")


def likeness(first: Explanation, second: Explanation) -> list[float]:
    pairs = zip(first.maps.reshape(4, -1), second.maps.reshape(4, -1), strict=True)
    return [float(np.corrcoef(*pair)[0, 1]) for pair in pairs]


def estimates(found: Explanation) -> np.ndarray:
    assert found.estimate is not None
    return found.estimate


@pytest.mark.parametrize("budget", [8, 20, 40])
def test_the_budget_is_kept(subject: Subject, photos: Tensor, budget: int) -> None:
    found = explain_with("scorecam_fast", subject, photos, CLASSES, {"budget": budget})
    assert 2 < found.forwards <= 2 * (1 + budget)


def test_milliseconds_buy_no_more_than_the_budget(subject: Subject, photos: Tensor) -> None:
    params = {"budget": 30, "budget_ms": 60_000.0}
    found = explain_with("scorecam_fast", subject, photos, CLASSES, params)
    # The layer's own pass, one pass to be ready and eight that are timed.
    assert found.forwards <= 2 * (1 + 1 + 8 + 30)
    hurried = explain_with("scorecam_fast", subject, photos, CLASSES, {"budget_ms": 1e-6})
    assert hurried.forwards <= 2 * (1 + 1 + 8 + 8)


def test_with_a_pass_for_each_channel_it_is_exact(subject: Subject, photos: Tensor) -> None:
    exact = explain_with("scorecam", subject, photos, CLASSES)
    found = explain_with("scorecam_fast", subject, photos, CLASSES, {"budget": 60})
    np.testing.assert_allclose(found.maps, exact.maps, atol=1e-5)
    np.testing.assert_array_equal(estimates(found), np.ones((2, 2)))
    assert exact.estimate is None


def test_it_comes_near_and_nearer_with_more(subject: Subject, photos: Tensor) -> None:
    exact = explain_with("scorecam", subject, photos, CLASSES)
    found = [
        explain_with("scorecam_fast", subject, photos, CLASSES, {"budget": budget})
        for budget in (10, 45)
    ]
    few, many = (np.mean(likeness(one, exact)) for one in found)
    assert few < many
    assert many > 0.98
    assert estimates(found[0]).mean() < estimates(found[1]).mean() <= 1


def test_the_estimate_is_a_correlation(subject: Subject, photos: Tensor) -> None:
    found = estimates(explain_with("score-cam-preview", subject, photos, CLASSES))
    assert found.shape == (2, 2)
    assert ((found > 0) & (found <= 1)).all()


def test_it_gives_the_same_map_at_every_call(subject: Subject, photos: Tensor) -> None:
    first, second = (
        explain_with("scorecam_fast", subject, photos, CLASSES, {"budget": 20}) for _ in range(2)
    )
    np.testing.assert_array_equal(first.maps, second.maps)
    np.testing.assert_array_equal(estimates(first), estimates(second))


def test_the_preview_takes_32_passes(subject: Subject, photos: Tensor) -> None:
    assert explain_with("score-cam-preview", subject, photos, CLASSES).forwards <= 2 * (1 + 32)


def test_maps_that_are_not_finite_are_said_image_by_image(
    subject: Subject, photos: Tensor
) -> None:
    broken = photos.clone()
    broken[1, 0, 0, 0] = torch.nan
    found = explain_with("scorecam_fast", subject, broken, CLASSES, {"budget": 20})
    assert {image for image, _ in found.degenerate} == {1}
    assert np.isfinite(found.maps[0]).all()
