"""Explanations are measured against pytorch-grad-cam; here in this process, on a tiny network.

No time is asserted: rows, bars and the maps themselves are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdray.bench import _explaining, _score_cam_rows, _trained, explain
from kdray.bench._cams import Answer, Turns
from kdray.bench._case import case, package_of
from kdray.bench._gradient_rows import BARS, Bars
from kdray.bench._plain import Setting
from kdray.bench._room import Factory
from kdray.bench._score_cam_rows import _approximation
from kdray.bench._table import Row
from kdray.bench._timing import Effort, seconds_of
from kdray.bench._trained import Lessons
from kdray.bench.explain import Asked
from kdray.errors import DataError, RegistryError
from kdray.registry import read_package

SIZE, CNN = 32, "cnn5_small"
SETTING, SHORT = Setting(SIZE, 1, 1, "cpu"), Effort(0.0, least=2, most=2)
RAMP = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)


class _Here:
    """Builds and times in this process."""

    def __init__(self, environment: Mapping[str, str], threads: int) -> None:
        self._built: dict[str, Callable[[], object]] = {}

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def build(self, factory: Factory, *args: Any) -> dict[str, Callable[[], float]]:
        self._built = dict(factory(*args))
        return {name: lambda name=name: seconds_of(self._built[name]) for name in self._built}

    def result(self, name: str) -> Any:
        return self._built[name]()


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (explain, _score_cam_rows):
        monkeypatch.setattr(module, "Room", _Here)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def _rows(work: Path, *kinds: str, **settings: Any) -> dict[str, Row]:
    asked = Asked(models=(CNN,), kinds=kinds, count=2, classes=3, repeats=1, work=work)
    found = explain.explain(replace(asked, **settings), SETTING, SHORT)
    return {row.what.partition(": ")[2]: row for row in found}


@pytest.mark.parametrize("name", ["Grad-CAM", "Grad-CAM++", "Layer-CAM"])
def test_gradient_maps_are_the_peers_and_have_their_bars(
    work: Path, name: str, cam_rows: dict[str, Row]
) -> None:
    exact = cam_rows[f"{name}: lowest Pearson with pytorch-grad-cam"]
    assert exact.value.median == pytest.approx(1, abs=1e-4)
    assert exact.met is True
    bars = {
        f"{name}, 1 class: pytorch-grad-cam / kdray": (3.0, True),
        f"{name}, 3 classes: pytorch-grad-cam / kdray": (7.0, True),
        f"{name}, 1 class: kdray / plain forward": (1.15, False),
        f"{name}, 3 classes: kdray / plain forward": (1.25, False),
    }
    for what, (bar, at_least) in bars.items():
        assert (cam_rows[what].bar, cam_rows[what].at_least) == (bar, at_least)
        assert cam_rows[what].met is not None


@pytest.fixture(scope="module")
def cam_rows(work: Path) -> dict[str, Row]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain, "Room", _Here)
        return _rows(work, "cam")


def test_the_average_map_is_held_against_the_forward_pass(cam_rows: dict[str, Row]) -> None:
    row = cam_rows["average feature map: kdray / plain forward"]
    assert row.bar == 1.1
    assert set(row.parts) == {"kdray", "forward"}


def test_speeds_tell_the_mean_execution_time_of_both(cam_rows: dict[str, Row]) -> None:
    note = cam_rows["Grad-CAM, 3 classes: pytorch-grad-cam / kdray"].note
    assert note.startswith("MET ")
    assert note.count(" ms") == 2


def test_vgg_has_bars_of_its_own() -> None:
    assert BARS["vgg"] == Bars(faster=2.0, cost=1.6, faster_all=3.0, cost_all=None)


def test_score_cam_is_the_peers_and_its_approximations_have_bars(work: Path) -> None:
    rows = _rows(work, "score-cam")
    exact = rows["exact Score-CAM: lowest Pearson with pytorch-grad-cam"]
    assert exact.value.median == pytest.approx(1, abs=1e-4)
    wanted = {
        "exact Score-CAM, 1 class": 2.5,
        "exact Score-CAM, 3 classes": 8.0,
        "score-cam-fast, 1 class": 8.0,
        "score-cam-preview, 1 class": 40.0,
        "score-cam-fast, 3 classes": None,
    }
    for what, bar in wanted.items():
        assert rows[f"{what}: pytorch-grad-cam / kdray"].bar == bar


def test_approximations_are_held_against_the_exact_maps_of_all_images(work: Path) -> None:
    rows = _rows(work, "fast", count=3)
    mean = rows["score-cam-fast, 1 class: mean Pearson with the exact map"]
    assert (mean.bar, mean.at_least, mean.unit) == (0.97, True, "Pearson")
    assert "3 maps" in mean.note
    lowest = rows["score-cam-fast, 1 class: lowest Pearson with the exact map"]
    assert lowest.value.median <= mean.value.median
    all_classes = rows["score-cam-fast, 3 classes: mean Pearson with the exact map"]
    assert all_classes.bar is None
    assert "9 maps" in all_classes.note


def test_memory_is_that_of_processes_of_their_own(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def peak(_factory: object, _args: object, names: tuple[str, ...]) -> float:
        asked.append(names)
        return 30.0 if names[0].startswith("scorecam") else 100.0

    monkeypatch.setattr(_score_cam_rows._peak, "peak_mb", peak)
    rows = _rows(work, "memory")
    one = rows["exact Score-CAM, 1 class: peak memory, kdray / pytorch-grad-cam"]
    assert one.value.median == pytest.approx(0.3)
    assert one.met is True
    assert asked[2:] == [("scorecam 3",), ("class 0", "class 1", "class 2")]


def test_scores_of_a_map_take_at_most_45_images_through_the_model(work: Path) -> None:
    row = _rows(work, "scores")["all faithfulness scores of one map: images through the model"]
    assert 0 < row.value.median <= 45
    assert row.met is True
    assert "deletion_auc" in row.note


def test_random_weights_are_not_asked_for_their_score_cam(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for kind in explain.KINDS:
        monkeypatch.setitem(
            explain._ROWS, kind, lambda _measure, kind=kind: told.append(kind) or []
        )
    _rows(work)
    assert told == ["cam", "scores"]


def test_images_of_a_folder_are_taken_evenly(work: Path, tmp_path: Path) -> None:
    for index in range(6):
        folder = tmp_path / f"class{index // 3}"
        folder.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 40 * index).save(folder / f"{index}.png")
    _, folder = package_of(CNN, "registry", SIZE, work)
    found = case("cnn", folder, tmp_path, 3, 2)
    assert found.images[:, 0, 0, 0].tolist() == [0, 80, 160]
    assert found.classes.shape == (3, 2)
    assert not found.trained


def test_the_most_probable_class_comes_first(work: Path) -> None:
    _, folder = package_of(CNN, "registry", SIZE, work)
    found = case("cnn", folder, None, 2, 4)
    net = read_package(folder).build()
    for image, classes in zip(found.standard(), found.classes, strict=True):
        logits = net.module(image)[0]
        assert logits[classes.tolist()].tolist() == sorted(logits.tolist(), reverse=True)


def test_a_folder_without_images_and_an_unknown_model_are_refused(
    work: Path, tmp_path: Path
) -> None:
    _, folder = package_of(CNN, "registry", SIZE, work)
    with pytest.raises(DataError, match="holds no images"):
        case("cnn", folder, tmp_path, 1, 1)
    with pytest.raises(RegistryError):
        package_of("cnn6", str(tmp_path / "registry"), SIZE, work)


def test_a_network_is_trained_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(_trained, "MODELS", {CNN: {"name": CNN, "params": {}}})
    lessons = Lessons(num_images=40, image_size=SIZE, minutes=1, epochs=1)
    label, folder = _trained.trained(CNN, work, lessons, told.append)
    assert label.startswith(f"{CNN} (drawn scans, accuracy ")
    assert len(told) == 1
    assert _trained.trained(CNN, work, lessons, told.append) == (label, folder)
    assert len(told) == 1
    assert case("cnn", folder, None, 1, 1).trained


def test_an_image_is_explained_after_the_other_and_the_last_answers_are_kept() -> None:
    seen: list[int] = []
    turns = Turns(lambda place: seen.append(place) or Answer(RAMP[None]), count=2)
    for _ in range(3):
        turns()
    assert seen == [0, 1, 0]
    assert sorted(turns.kept) == [0, 1]


def test_estimates_are_held_against_the_true_correlation() -> None:
    exact = {0: Answer(RAMP[None]), 1: Answer(RAMP[None])}
    found = {
        0: Answer(RAMP[None], np.array([0.9], dtype=np.float32)),
        1: Answer(1 - RAMP[None], np.array([0.0], dtype=np.float32)),
    }
    mean, lowest, estimate = _approximation("fast", found, exact, (0.97, 0.89))
    assert mean.value.median == pytest.approx(0, abs=1e-6)
    assert (lowest.value.median, lowest.met) == (pytest.approx(-1), False)
    assert estimate.value.median == pytest.approx((0.1 + 1.0) / 2)
    assert estimate.note.startswith("50% of 2 maps")
    assert "correlation of estimated and true 1.00" in estimate.note


def test_blank_maps_have_no_correlation_but_a_count() -> None:
    blank = {0: Answer(np.full((1, 4, 4), np.nan, dtype=np.float32))}
    [row] = _approximation("fast", blank, blank, (0.97, 0.89))
    assert (row.value.median, row.unit, row.met) == (1, "maps", None)
    assert "all maps are blank" in row.what
    assert _explaining.one(2.0).n == 1
