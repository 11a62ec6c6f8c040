from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdray.explain import Explanation, Subject
from kdray.measure import randomisation, robustness, stability
from kdray.measure._layers import stages_of
from kdray.models import build_model
from kdray.net import Attention, Net, Tap
from kdray.spec.strict import Part

PART = Part(name="gradcam", params={})


class Uncalled(nn.Module):
    """A part whose weights its parent reads without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.5))
        self.hidden = nn.Linear(4, 4)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.einsum("bdhw,ed->behw", maps * self.scale, self.hidden.weight)


class Staged(nn.Module):
    """Registered in another order than it is called in."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.second = nn.Sequential(Uncalled(), nn.ReLU())
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.first(images)).mean(dim=(2, 3)))


def staged() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        taps = {"stage1": Tap("first"), "stage2": Tap("second"), "cam": Tap("second")}
        return Net(Staged().eval(), taps)


@pytest.fixture
def batch() -> Tensor:
    return torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classes() -> Tensor:
    return torch.tensor([[0, 1]] * 4)


def test_layers_come_from_the_head_down_as_they_are_called(batch: Tensor) -> None:
    found = stages_of(staged(), batch[:1])
    assert found == [["head"], ["second.0", "second.0.hidden"], ["first.0", "first.1"]]


def test_a_network_without_stages_is_cut_into_parts(batch: Tensor) -> None:
    layers = [nn.Conv2d(3, 3, 1) for _ in range(9)]
    net = Net(nn.Sequential(*layers, nn.Flatten(), nn.Linear(3 * 144, 2)))
    found = stages_of(net, batch[:1])
    assert [len(stage) for stage in found] == [1, 2, 2, 2, 3]
    assert found[0] == ["10"]
    assert found[-1] == ["0", "1", "2"]


def test_every_weight_of_a_model_is_in_one_stage() -> None:
    net = build_model("hdkd_student", {}, channels=3, classes=2, image_size=32)
    net.module.eval()
    found = [path for stage in stages_of(net, torch.zeros(1, 3, 32, 32)) for path in stage]
    own = {path for path, m in net.module.named_modules() if list(m.parameters(recurse=False))}
    assert sorted(found) == sorted(own)


def test_no_hook_stays(batch: Tensor) -> None:
    net = staged()
    stages_of(net, batch[:1])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module.modules())


def test_the_network_itself_is_left_as_it_was(batch: Tensor, classes: Tensor) -> None:
    net = staged()
    before, state = copy.deepcopy(net.module.state_dict()), torch.get_rng_state()
    found = randomisation(Subject(net), PART, batch, classes)
    assert all(torch.equal(before[name], now) for name, now in net.module.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    names = ["head", "second.0 to second.0.hidden (2)", "first.0 to first.1 (2)"]
    assert [stage.layers for stage in found.stages] == names


def test_an_explanation_that_fails_leaves_the_weights_too(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, classes: Tensor
) -> None:
    net = staged()
    before, queue = copy.deepcopy(net.module.state_dict()), [np.eye(12) + np.zeros((4, 2, 12, 12))]

    def explain(*_: Any) -> Explanation:
        return explanation(queue.pop())

    monkeypatch.setattr(robustness, "explain_with", explain)
    with pytest.raises(IndexError):
        randomisation(Subject(net), PART, batch, classes)
    assert all(torch.equal(before[name], now) for name, now in net.module.state_dict().items())


def test_attention_that_is_read_beside_the_layers_is_that_of_the_random_weights(
    batch: Tensor,
) -> None:
    net = staged()
    table = net.module.second[0].hidden

    def matrix(_: nn.Module, output: Tensor) -> Tensor:
        # As the attention of Swin and CoAtNet, which has a bias that no layer puts out.
        return table.weight.softmax(dim=1).expand(len(output), 4, 4)

    def maps(_: nn.Module, output: Tensor) -> Tensor:
        return output[:, 0]

    attends = replace(net, attention=(Attention("first", maps, matrix=matrix),))
    found = randomisation(Subject(attends), Part(name="rollout"), batch, torch.tensor([[0]] * 4))
    assert [stage.pearson for stage in found.stages[:1]] == pytest.approx([1])
    assert found.stages[1].pearson is not None
    assert found.stages[1].pearson < 0.99


def test_the_same_seed_gives_the_same_answer(batch: Tensor, classes: Tensor) -> None:
    first, again, other = (
        randomisation(Subject(staged()), PART, batch, classes, seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_all_weights_are_drawn_anew_in_the_end(batch: Tensor, classes: Tensor) -> None:
    seen: list[dict[str, Tensor]] = []

    def watch(_: str, subject: Subject, *__: Any) -> Explanation:
        seen.append(copy.deepcopy(subject.net.module.state_dict()))
        return explanation(np.random.default_rng(0).random((4, 2, 12, 12)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "explain_with", watch)
        net = staged()
        net.module.first[1].weight.data.fill_(3.0)
        net.module.first[1].running_mean.fill_(5.0)
        randomisation(Subject(net), PART, batch, classes)
    changed = [
        {name for name, now in later.items() if not torch.equal(now, seen[0][name])}
        for later in seen[1:]
    ]
    hidden = {"second.0.hidden.weight", "second.0.hidden.bias"}
    assert changed[0] == {"head.weight", "head.bias"}
    # The scale is constant: drawn from its own spread of nothing, it stays.
    assert changed[1] == changed[0] | hidden
    norm = {"first.1.weight", "first.1.running_mean"}
    assert changed[2] >= changed[1] | {"first.0.weight"} | norm


def explanation(maps: np.ndarray) -> Explanation:
    return Explanation("x", np.zeros((4, 2), np.int64), maps.astype(np.float32), {}, 0.0, 0)


def answers(monkeypatch: pytest.MonkeyPatch, *maps: np.ndarray) -> None:
    """Let the networks, in turn, be explained by these maps; the last one goes on."""
    queue = list(maps)

    def explain(*_: Any) -> Explanation:
        return explanation(queue.pop(0) if len(queue) > 1 else queue[0])

    monkeypatch.setattr(robustness, "explain_with", explain)


def test_maps_that_do_not_look_at_the_weights_fail(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, classes: Tensor
) -> None:
    answers(monkeypatch, np.random.default_rng(0).random((4, 2, 12, 12)))
    found = randomisation(Subject(staged()), PART, batch, classes)
    assert [stage.ssim for stage in found.stages] == pytest.approx([1, 1, 1])
    assert found.chance_ssim is not None
    assert found.chance_ssim < 0.5
    assert (found.passed, found.maps) == (False, 8)


def test_maps_that_turn_into_others_pass_if_the_trained_ones_are_alike(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, classes: Tensor
) -> None:
    random = np.random.default_rng(0)
    alike = random.random((1, 1, 12, 12)) + 0.01 * random.random((4, 2, 12, 12))
    answers(monkeypatch, alike, random.random((4, 2, 12, 12)))
    found = randomisation(Subject(staged()), PART, batch, classes)
    assert found.chance_ssim == pytest.approx(1, abs=0.01)
    assert found.passed is True


def test_a_map_that_turns_blank_has_nothing_left_of_the_trained_one(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, classes: Tensor
) -> None:
    maps = np.random.default_rng(0).random((4, 2, 12, 12))
    later = maps.copy()
    later[:2] = np.nan
    answers(monkeypatch, maps, later)
    last = randomisation(Subject(staged()), PART, batch, classes).stages[-1]
    assert last.ssim == last.pearson == pytest.approx(0.5)
    assert last.blank == 4


def test_mostly_blank_maps_of_the_random_network_decide_nothing(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, classes: Tensor
) -> None:
    maps = np.random.default_rng(0).random((4, 2, 12, 12))
    later = maps.copy()
    later[:3] = np.nan
    answers(monkeypatch, maps, later)
    assert randomisation(Subject(staged()), PART, batch, classes).passed is None


def test_blank_maps_of_the_trained_network_decide_nothing(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, classes: Tensor
) -> None:
    answers(monkeypatch, np.full((4, 2, 12, 12), np.nan))
    found = randomisation(Subject(staged()), PART, batch, classes)
    assert (found.passed, found.chance_ssim, found.maps) == (None, None, 0)
    assert found.stages[-1].ssim is None


def test_two_classes_of_one_image_are_no_random_pair(batch: Tensor) -> None:
    found = randomisation(Subject(staged()), PART, batch[:1], torch.tensor([[0, 1]]))
    assert found.chance_ssim is None
    assert found.passed is None


def brightness(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=3, dtype=np.float64) ** 2 / 255**2


def test_stability_by_hand(images: np.ndarray) -> None:
    noisy: list[np.ndarray] = []

    def maps_of(some: np.ndarray) -> np.ndarray:
        noisy.append(some)
        return brightness(some)

    found = stability(maps_of, images, noise=0.1, copies=3)
    own = brightness(images)[2].ravel()
    copies = [brightness(some)[2].ravel() for some in noisy[1:]]
    alike = np.mean([np.corrcoef(own, other)[0, 1] for other in copies])
    worst = max(np.linalg.norm(other - own) / np.linalg.norm(own) for other in copies)
    assert found["stability"][2] == pytest.approx(alike)
    assert found["max_sensitivity"][2] == pytest.approx(worst)


def test_max_sensitivity_is_captums(images: np.ndarray, tensor: Any) -> None:
    from captum.metrics import sensitivity_max

    noisy: list[np.ndarray] = []

    def maps_of(some: np.ndarray) -> np.ndarray:
        noisy.append(some)
        return brightness(some)

    def explain(inputs: Any) -> tuple[Tensor]:
        batch = inputs[0] if isinstance(inputs, tuple) else inputs
        return (batch.double().mean(dim=1) ** 2 / 255**2,)

    def perturb(_: Any) -> Tensor:
        return copies

    found = stability(maps_of, images, copies=2)["max_sensitivity"]
    for index, image in enumerate(images):
        copies = torch.cat([tensor(some[index : index + 1]) for some in noisy[1:]])
        theirs = sensitivity_max(explain, tensor(image[None]), perturb, n_perturb_samples=2)
        assert found[index] == pytest.approx(float(theirs[0]), rel=1e-5)


def test_the_noise_is_a_share_of_the_pixel_range() -> None:
    grey = np.full((1, 64, 64, 3), 128, dtype=np.uint8)
    seen: list[np.ndarray] = []

    def maps_of(some: np.ndarray) -> np.ndarray:
        seen.append(some)
        return brightness(some)

    stability(maps_of, grey, noise=0.05, copies=2)
    assert seen[1].std() == pytest.approx(0.05 * 255, rel=0.05)
    assert not np.array_equal(seen[1], seen[2])


def test_a_map_that_ignores_the_image_is_wholly_stable(images: np.ndarray) -> None:
    fixed = np.random.default_rng(0).random(images.shape[:3])
    found = stability(lambda _: fixed, images)
    assert found["stability"] == pytest.approx([1] * 4)
    assert found["max_sensitivity"] == pytest.approx([0] * 4)


def test_blank_copies_are_left_out_and_a_blank_map_is_undefined(images: np.ndarray) -> None:
    asked = []

    def maps_of(some: np.ndarray) -> np.ndarray:
        maps = brightness(some)
        maps[0] = 0.5
        if len(asked) == 1:
            maps[1] = np.nan
        if asked:
            maps[2] = np.nan
        asked.append(1)
        return maps

    found = stability(maps_of, images, copies=2)
    for values in found.values():
        assert np.isfinite(values).tolist() == [False, True, False, True]
