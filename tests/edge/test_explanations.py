"""What is explained without PyTorch is what PyTorch explains."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdray.edge.model import EdgeModel
from kdray.errors import ExplainError, JobError, ModelError
from kdray.infer import Predictor
from kdray.maps import Explanation

Make = Callable[..., Path]
CLASSES = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2]])
SMALL = {"widths": [8, 8, 12, 16, 24]}
#: Networks that end in different ways: a mean and a linear layer; a mean and several layers with
#: hard-swish; batch norm and a mean; tokens.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn5": ("cnn5", SMALL),
    "mobilenet": ("timm", {"arch": "mobilenetv3_small_050"}),
    "resnet": ("timm", {"arch": "resnet10t"}),
    "vit": ("timm", {"arch": "test_vit"}),
}
EVERY = ("eigencam", "featuremaps", "occlusion")
METHODS = {
    "cnn5": ("gradcam", "gradcampp", "layercam", "scorecam", *EVERY),
    "mobilenet": ("gradcam", "gradcampp", "layercam", *EVERY),
    "resnet": ("gradcam", "gradcampp", "layercam", *EVERY),
    "vit": ("scorecam", "eigencam", "occlusion"),  # its last maps have a mean of 0
}
SETTINGS: dict[str, dict[str, Any]] = {"occlusion": {"window": 0.4, "stride": 0.3}}


def both(
    folder: Path, images: np.ndarray, method: str, params: dict[str, Any]
) -> tuple[Explanation, Explanation]:
    return (
        EdgeModel(folder).explain(images, method, params, CLASSES),
        Predictor(folder).explain(images, method, params, CLASSES),
    )


def likeness(first: Explanation, second: Explanation) -> list[float]:
    """Return the correlation of each pair of maps that show something."""
    pairs = zip(first.maps.reshape(9, -1), second.maps.reshape(9, -1), strict=True)
    return [float(np.corrcoef(*pair)[0, 1]) for pair in pairs if np.isfinite(pair).all()]


@pytest.fixture
def made(package: Make) -> Callable[[str], Path]:
    def call(which: str) -> Path:
        name, params = NETWORKS[which]
        return package(name, side=32 if which == "cnn5" else 64, **params)

    return call


@pytest.mark.parametrize("which", NETWORKS)
def test_maps_are_those_of_pytorch(
    made: Callable[[str], Path], photos: np.ndarray, which: str
) -> None:
    compared = 0
    images = photos if which == "cnn5" else photos.repeat(2, axis=1).repeat(2, axis=2)
    for method in METHODS[which]:
        ours, theirs = both(made(which), images, method, SETTINGS.get(method, {}))
        assert dict(ours.degenerate) == dict(theirs.degenerate), method
        alike = likeness(ours, theirs)
        assert all(one >= 0.9999 for one in alike), (method, alike)
        assert ours.maps.shape == theirs.maps.shape
        # Masks that differ by rounding alone may be equal in one and not in the other.
        assert abs(ours.forwards - theirs.forwards) <= (3 if method == "scorecam" else 0)
        compared += len(alike)
    assert compared


def test_fast_score_cam_is_about_as_near_to_the_exact_one(
    made: Callable[[str], Path], photos: np.ndarray
) -> None:
    ours, theirs = both(made("cnn5"), photos, "score-cam-fast", {"budget": 18})
    exact = EdgeModel(made("cnn5")).explain(photos, "score-cam", None, CLASSES)
    near, far = np.mean(likeness(ours, exact)), np.mean(likeness(theirs, exact))
    assert near > far - 0.02
    assert ours.estimate is not None
    assert ((ours.estimate > 0) & (ours.estimate <= 1)).all()


@pytest.mark.parametrize("params", [{}, {"tap": "cam"}, {"tap": "stage5"}])
def test_the_same_maps_are_found_by_all_their_names(
    made: Callable[[str], Path], photos: np.ndarray, params: dict[str, Any]
) -> None:
    ours, theirs = both(made("cnn5"), photos, "channel-mean", params)
    np.testing.assert_allclose(ours.maps, theirs.maps, atol=1e-4)


def test_without_classes_the_predicted_one_is_explained(
    made: Callable[[str], Path], photos: np.ndarray
) -> None:
    model = EdgeModel(made("cnn5"))
    found = model.explain(photos, "grad-cam")
    np.testing.assert_array_equal(found.classes[:, 0], model.look(photos).logits.argmax(axis=1))
    assert found.forwards == 3


def test_what_needs_pytorch_is_said(made: Callable[[str], Path], photos: np.ndarray) -> None:
    for which, method, params in (
        ("cnn5", "rollout", {}),
        ("cnn5", "gradient-shap", {}),
        ("cnn5", "grad-cam", {"tap": "stage1"}),
        ("vit", "channel-mean", {}),
        ("vit", "grad-cam", {}),
    ):
        model = EdgeModel(made(which))
        images = np.zeros((1, model.package.image_size, model.package.image_size, 3), np.uint8)
        with pytest.raises(ModelError, match=r"without|needs PyTorch") as caught:
            model.explain(images, method, params)
        assert "--edge" in caught.value.remedy


def test_only_methods_that_it_has_are_offered(made: Callable[[str], Path]) -> None:
    assert "gradcam" in EdgeModel(made("cnn5")).methods
    assert "gradcam" not in EdgeModel(made("vit")).methods
    assert "shap" not in EdgeModel(made("cnn5")).methods


def test_settings_are_checked_as_ever(made: Callable[[str], Path], photos: np.ndarray) -> None:
    model = EdgeModel(made("cnn5"))
    with pytest.raises(JobError, match="no explainer"):
        model.explain(photos, "grad-camera")
    with pytest.raises(JobError, match="no such setting"):
        model.explain(photos, "grad-cam", {"taps": "cam"})


def test_classes_that_are_none_are_refused(
    made: Callable[[str], Path], photos: np.ndarray
) -> None:
    with pytest.raises(ExplainError, match="not all classes"):
        EdgeModel(made("cnn5")).explain(photos, "grad-cam", None, np.array([0, 1, 3]))


def test_threads_explain_at_the_same_time(made: Callable[[str], Path], photos: np.ndarray) -> None:
    model = EdgeModel(made("cnn5"))
    alone = model.explain(photos, "score-cam-preview").maps
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: model.explain(photos, "score-cam-preview").maps, range(8))
    for maps in found:
        np.testing.assert_array_equal(maps, alone)


def test_a_process_that_only_answers_stays_small(
    made: Callable[[str], Path],
) -> None:
    heavy = ("torch", "ray", "pyarrow", "sklearn", "scipy", "matplotlib", "pandas", "onnx")
    program = f"""
import sys
import numpy as np
from pathlib import Path
import kdray.registry
from kdray.edge.model import EdgeModel
from kdray.maps import heat_map_png
model = EdgeModel(Path(sys.argv[1]))
images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
model.look(images)
for method in ("grad-cam", "score-cam-preview", "eigen-cam", "occlusion-sensitivity"):
    found = model.explain(images, method)
    if not found.degenerate:
        heat_map_png(found.maps[0, 0])
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(made("cnn5"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
