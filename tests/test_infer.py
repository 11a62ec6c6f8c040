"""A package to answers: probabilities, maps and pictures of maps."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray import infer
from kdray.engine import Engine
from kdray.errors import DataError, ExplainError, JobError, ModelError, RegistryError
from kdray.images import fit
from kdray.infer import Images, Predictor
from kdray.maps import heat_map, overlay
from kdray.models import build_model
from kdray.net import Wants, look
from kdray.registry import write_package

WIDTHS = {"widths": [4, 8, 8, 12, 16]}


@dataclass(frozen=True)
class Info:
    classes: tuple[str, ...] = ("glioma", "no tumor", "pituitary")
    image_size: int = 32
    channels: int = 3
    mean: tuple[float, ...] = (0.4, 0.5, 0.6)
    std: tuple[float, ...] = (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    net = build_model("cnn5", WIDTHS, channels=3, classes=3, image_size=32, seed=3)
    model = {"name": "cnn5", "params": WIDTHS}
    write_package(folder, net, model=model, id="s", role="student", info=Info(), lineage={})
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(folder)


@pytest.fixture(scope="module")
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def png(pixels: Images) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def test_probabilities_are_finite_and_sum_to_one(predictor: Predictor, images: Images) -> None:
    shares = predictor.predict(images)
    assert shares.shape == (4, 3)
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_probabilities_are_the_softmax_of_the_logits(predictor: Predictor, images: Images) -> None:
    logits = predictor.logits(images).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predictor.predict(images), expected, rtol=1e-5)


def test_logits_are_those_of_the_network_on_the_standardised_image(
    predictor: Predictor, images: Images
) -> None:
    import torch

    net = predictor.package.build()
    standard = (images / 255 - np.array(Info().mean)) / np.array(Info().std)
    batch = torch.tensor(standard.transpose(0, 3, 1, 2), dtype=torch.float32)
    with torch.no_grad():
        expected = net.module(batch).numpy()
    np.testing.assert_allclose(predictor.logits(images), expected, rtol=1e-4, atol=1e-5)


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(
    predictor: Predictor, images: Images
) -> None:
    np.testing.assert_allclose(
        predictor.predict(images)[2:3], predictor.predict(images[2:3]), rtol=1e-4, atol=1e-6
    )


def test_decoding_resizes_as_preparing_does(predictor: Predictor) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (50, 41, 3), np.uint8)
    np.testing.assert_array_equal(predictor.decode(png(pixels)), fit(pixels, 32, 3))


def test_a_grey_file_becomes_three_equal_channels(predictor: Predictor) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)
    np.testing.assert_array_equal(predictor.decode(png(grey)), np.stack([grey] * 3, axis=2))


def test_too_many_pixels_are_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="more than 100"):
        predictor.decode(png(np.zeros((20, 20), np.uint8)), max_pixels=100)


def test_bytes_that_are_no_image_are_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError):
        predictor.decode(b"not an image")


@pytest.mark.parametrize("method", ["gradcam", "scorecam", "featuremaps"])
def test_maps_are_finite_in_0_to_1_and_of_input_size(
    predictor: Predictor, images: Images, method: str
) -> None:
    maps = predictor.explain(images[:2], method).checked().maps[:, 0]
    assert (maps.shape, maps.dtype) == ((2, 32, 32), np.float32)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_without_a_target_the_predicted_class_is_explained(
    predictor: Predictor, images: Images
) -> None:
    target = predictor.predict(images[:1]).argmax(axis=1)
    np.testing.assert_array_equal(
        predictor.explain(images[:1], "gradcam").maps,
        predictor.explain(images[:1], "gradcam", {}, target).maps,
    )


def test_a_target_that_is_no_class_is_refused(predictor: Predictor, images: Images) -> None:
    with pytest.raises(ExplainError, match=r"They count 0\.\.2"):
        predictor.explain(images[:1], "gradcam", {}, np.array([3]))


def test_an_unknown_explanation_gives_the_nearest(predictor: Predictor, images: Images) -> None:
    with pytest.raises(JobError, match="Did you mean 'gradcam'"):
        predictor.explain(images[:1], "gradcamm")


def test_an_unknown_setting_of_an_explanation_is_refused(
    predictor: Predictor, images: Images
) -> None:
    with pytest.raises(JobError, match="no such setting"):
        predictor.explain(images[:1], "gradcam", {"tapp": "cam"})


def test_explaining_changes_no_prediction(predictor: Predictor, images: Images) -> None:
    before = predictor.predict(images)
    predictor.explain(images[:1], "gradcam")
    np.testing.assert_array_equal(predictor.predict(images), before)


def test_threads_that_explain_and_predict_at_once_get_the_answers_of_one_thread(
    predictor: Predictor, images: Images
) -> None:
    expected = [predictor.explain(images[i : i + 1], "gradcam").maps for i in range(4)]
    shares = predictor.predict(images)
    found: dict[int, np.ndarray] = {}
    wrong: list[int] = []

    def explain(place: int) -> None:
        found[place] = predictor.explain(images[place : place + 1], "gradcam").maps

    def predict() -> None:
        wrong.extend(i for i in range(10) if not np.allclose(predictor.predict(images), shares))

    threads = [threading.Thread(target=explain, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=predict) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong
    for place in range(4):
        np.testing.assert_allclose(found[place], expected[place], atol=1e-6)


def test_a_missing_gpu_is_an_error_and_not_a_silent_cpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="no GPU"):
        Predictor(folder, device="cuda")


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError):
        Predictor(tmp_path)


def test_a_heat_map_is_transparent_where_low_and_opaque_where_high() -> None:
    picture = heat_map(np.array([[0.0, 0.05, 1.0]], np.float32))
    assert picture.shape == (1, 3, 4)
    assert picture[0, :, 3].tolist() == [0, 0, 255]


def test_a_heat_map_grows_brighter_with_the_map() -> None:
    levels = np.linspace(0, 1, 64, dtype=np.float32)[None]
    luma = heat_map(levels)[0, :, :3].astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) >= -1).all()
    assert luma[-1] > 200 > 20 > luma[0]


def test_an_overlay_leaves_the_image_where_the_map_is_low() -> None:
    image = np.full((2, 2, 1), 77, np.uint8)
    map_ = np.array([[0, 0], [0, 1]], np.float32)
    mixed = overlay(image, map_, opacity=1)
    assert mixed.shape == (2, 2, 3)
    assert (mixed[0] == 77).all()
    np.testing.assert_array_equal(mixed[1, 1], heat_map(map_)[1, 1, :3])


def test_an_overlay_has_the_size_of_the_image_grey_or_in_colour() -> None:
    map_ = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for shape in ((30, 41), (30, 41, 1), (30, 41, 3), (1, 1), (3, 200, 3)):
        picture = overlay(np.full(shape, 77, np.uint8), map_)
        assert (picture.shape, picture.dtype) == ((*shape[:2], 3), np.uint8)


def test_an_overlay_mixes_by_opacity() -> None:
    image = np.full((1, 1), 100, np.uint8)
    hot = np.ones((1, 1), np.float32)
    expected = np.round(0.4 * 100 + 0.6 * heat_map(hot)[0, 0, :3].astype(float))
    assert np.abs(overlay(image, hot, opacity=0.6)[0, 0] - expected).max() <= 1


def test_a_map_that_shows_nothing_is_no_picture() -> None:
    nothing = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(ExplainError, match="cannot be drawn"):
        heat_map(nothing)
    with pytest.raises(ExplainError, match="cannot be drawn"):
        overlay(np.zeros((8, 8), np.uint8), nothing)


def test_an_unknown_device_is_an_error(folder: Path) -> None:
    with pytest.raises(ModelError, match="no such device"):
        Predictor(folder, device="abacus")


def test_a_look_gives_logits_and_the_mean_of_the_last_maps(
    predictor: Predictor, images: Images
) -> None:
    seen = predictor.look(images)
    np.testing.assert_allclose(seen.logits, predictor.logits(images), atol=1e-6)
    net = predictor.package.build()
    found = look(net, predictor._standard(images), Wants(taps=("cam",))).maps["cam"]
    expected = found.flatten(2).mean(dim=2).detach().numpy()
    np.testing.assert_allclose(seen.features, expected, atol=1e-5)


def test_looks_of_many_threads_do_not_mix(predictor: Predictor, images: Images) -> None:
    expected = predictor.look(images).features
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: predictor.look(images[n % 4 : n % 4 + 1]), range(80)))
    for number, seen in enumerate(found):
        np.testing.assert_allclose(seen.features, expected[number % 4 : number % 4 + 1], atol=1e-5)


def test_an_engine_says_what_computes_it_and_what_it_takes(predictor: Predictor) -> None:
    engine: Engine = predictor
    assert engine.runtime == "torch cpu"
    assert engine.bytes == 2 * predictor.package.weights.bytes
