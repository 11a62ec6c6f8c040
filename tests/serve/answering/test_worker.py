"""Images in, answers out, by packages with and without the files of serving."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kdray.confidence import softmax
from kdray.infer import Predictor
from kdray.maps import Explanation
from kdray.measure import map_agreement, on_grid
from kdray.registry import Registry
from kdray.spec.service import Limits, Service
from kdray.spec.strict import Part
from kdray_serve.answering.costs import Costs, Plan
from kdray_serve.answering.counter import make_worker
from kdray_serve.answering.intake import Taken, take
from kdray_serve.answering.worker import Worker
from kdray_serve.refusal import Refusal
from kdray_serve.work import Predicted, Upload, Wish

OLD, NEW = ("brain", 1), ("brain", 2)  # by PyTorch, by ONNX Runtime


@pytest.fixture
def worker(service: Callable[..., Service]) -> Worker:
    methods = ("gradcam", "scorecam", "scorecam_fast", "featuremaps", "rollout", "gradient-shap")
    return make_worker(service(explain=tuple(Part(name=name) for name in methods)))


def refused(worker: Worker, upload: Upload, **wish: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        worker.explain(NEW, upload, Wish(**wish))
    assert found.value.status == 422
    return found.value


@pytest.mark.parametrize("key", [OLD, NEW])
def test_predictions_are_those_of_the_package(
    worker: Worker, registry: Registry, uploads: list[Upload], key: tuple[str, int]
) -> None:
    package = Predictor(registry.fetch(*key))
    images = np.stack([package.decode(upload.content) for upload in uploads[:3]])
    for answer, logits in zip(
        worker.predict(key, uploads[:3]), package.logits(images), strict=True
    ):
        assert isinstance(answer, Predicted)
        np.testing.assert_allclose(answer.logits, logits, atol=1e-4)
        assert answer.size == (40, 36)
        assert answer.place == logits.argmax()


def test_a_package_that_was_calibrated_tells_sets_and_unknown_images(
    worker: Worker, uploads: list[Upload]
) -> None:
    [answer] = worker.predict(NEW, uploads[:1])
    assert isinstance(answer, Predicted)
    assert answer.is_calibrated
    assert answer.prediction_set
    assert answer.prediction_set[0] == answer.place
    assert answer.ood_score is not None
    assert 0 <= answer.ood_score <= 1


def test_a_package_that_was_not_says_so(worker: Worker, uploads: list[Upload]) -> None:
    [answer] = worker.predict(OLD, uploads[:1])
    assert isinstance(answer, Predicted)
    assert not answer.is_calibrated
    assert (answer.prediction_set, answer.ood_score) == (None, None)
    np.testing.assert_allclose(answer.probabilities, softmax(answer.logits[None])[0], rtol=1e-6)


def test_a_bad_image_does_not_spoil_the_others_of_its_batch(
    worker: Worker, uploads: list[Upload]
) -> None:
    first, bad, last = worker.predict(NEW, [uploads[0], Upload(b"no image"), uploads[1]])
    alone = [worker.predict(NEW, [upload])[0] for upload in uploads[:2]]
    assert isinstance(bad, Refusal)
    for answer, expected in zip((first, last), alone, strict=True):
        assert isinstance(answer, Predicted)
        assert isinstance(expected, Predicted)
        np.testing.assert_allclose(answer.logits, expected.logits, atol=1e-5)
        assert answer.sha256 == expected.sha256


def test_the_limit_of_pixels_is_the_services(
    service: Callable[..., Service], uploads: list[Upload]
) -> None:
    worker = make_worker(service(limits=Limits(max_pixels=100)))
    [answer] = worker.predict(OLD, uploads[:1])
    assert isinstance(answer, Refusal)
    assert answer.status == 413


def test_each_version_is_computed_by_what_its_package_allows(
    worker: Worker, uploads: list[Upload]
) -> None:
    for key in (OLD, NEW):
        worker.predict(key, uploads[:1])
    assert [(one["version"], one["runtime"]) for one in worker.loaded()] == [
        (1, "torch cpu"),
        (2, "onnxruntime"),
    ]


def test_a_warm_version_has_read_an_image_file(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Taken] = []

    def taking(*given: Any) -> Taken:
        read.append(take(*given))
        return read[-1]

    monkeypatch.setattr("kdray_serve.answering.worker.take", taking)
    worker.warm(NEW)
    assert [one.size for one in read] == [(16, 16)]


def test_an_explanation_is_of_the_predicted_class_by_the_first_method(
    worker: Worker, registry: Registry, uploads: list[Upload]
) -> None:
    found = worker.explain(NEW, uploads[0], Wish())
    [predicted] = worker.predict(NEW, uploads[:1])
    assert isinstance(predicted, Predicted)
    package = Predictor(registry.fetch(*NEW))
    image = package.decode(uploads[0].content)
    expected = package.explain(image[None], "gradcam").maps[0]
    assert (found.mapped.method, found.mapped.places) == ("gradcam", (predicted.place,))
    np.testing.assert_allclose(found.mapped.maps, expected, atol=1e-3)
    np.testing.assert_array_equal(found.shown, image)
    assert (found.replaced, found.beside) == ("", None)


def test_all_stands_for_all_classes_and_names_for_those_named(
    worker: Worker, uploads: list[Upload]
) -> None:
    every = worker.explain(NEW, uploads[0], Wish(classes=("all",))).mapped
    assert every.places == (0, 1, 2)
    some = worker.explain(NEW, uploads[0], Wish(classes=("no tumor", "glioma"))).mapped
    assert some.places == (2, 0)
    np.testing.assert_allclose(some.maps, every.maps[[2, 0]], equal_nan=True)


def test_what_there_is_not_is_said_with_what_there_is(
    worker: Worker, uploads: list[Upload]
) -> None:
    assert "scorecam_fast" in refused(worker, uploads[0], method="lime").detail
    assert "meningioma" in refused(worker, uploads[0], classes=("cat",)).detail
    assert "attention" in refused(worker, uploads[0], method="rollout").detail


def test_a_method_that_onnx_runtime_lacks_is_made_by_pytorch(
    worker: Worker, uploads: list[Upload]
) -> None:
    found = worker.explain(NEW, uploads[0], Wish(method="gradient-shap"))
    assert found.mapped.method == "gradient-shap"
    runtimes = {(one["version"], one["runtime"]) for one in worker.loaded()}
    assert runtimes == {(2, "onnxruntime"), (2, "torch cpu")}


def test_without_pytorch_such_a_method_is_refused_and_the_log_says_so_at_the_start(
    service: Callable[..., Service], uploads: list[Upload], caplog: pytest.LogCaptureFixture
) -> None:
    spec = service(explain=(Part(name="gradient-shap"), Part(name="gradcam")))
    worker = make_worker(spec, may_use_torch=False)
    worker.warm(NEW)
    assert "brain@2 cannot be explained by gradient-shap here" in caplog.text
    assert "PyTorch" in refused(worker, uploads[0]).detail
    assert worker.explain(NEW, uploads[0], Wish(method="gradcam")).mapped.method == "gradcam"


def test_the_teacher_is_shown_beside_with_agreement_and_chance(
    worker: Worker, registry: Registry, uploads: list[Upload]
) -> None:
    wish = Wish(classes=("all",), against="teacher.t@1")
    found = worker.explain(NEW, uploads[0], wish)
    beside = found.beside
    assert beside is not None
    assert (beside.model, beside.role) == (("teacher.t", 1), "teacher")
    assert beside.weights_sha256 == registry.describe("teacher.t", 1)["weights"]["sha256"]
    assert beside.mapped.places == found.mapped.places
    expected = map_agreement(on_grid(beside.mapped.maps), on_grid(found.mapped.maps))
    for name in ("pearson", "ssim", "iou20"):
        scores = [scores[name] for scores in beside.agreement]
        np.testing.assert_allclose(scores, expected[name], atol=1e-6)
    assert beside.chance == {"pearson": 0.3, "ssim": 0.2}


def test_a_chance_level_measured_with_the_teacher_is_not_told_of_another_model(
    worker: Worker, uploads: list[Upload]
) -> None:
    beside = worker.explain(NEW, uploads[0], Wish(against="brain@3")).beside
    assert beside is not None
    assert beside.agreement
    assert beside.chance == {}


def test_a_model_agrees_with_itself(worker: Worker, uploads: list[Upload]) -> None:
    beside = worker.explain(OLD, uploads[0], Wish(against="brain@1")).beside
    assert beside is not None
    for scores in beside.agreement:
        assert scores["pearson"] == pytest.approx(1)
        assert scores["ssim"] == pytest.approx(1)


def test_a_deadline_that_is_long_enough_changes_nothing(
    worker: Worker, uploads: list[Upload]
) -> None:
    found = worker.explain(NEW, uploads[0], Wish(method="scorecam", deadline_ms=1e9))
    assert (found.mapped.method, found.replaced) == ("scorecam", "")
    assert found.mapped.estimates is None


def test_a_deadline_that_is_over_gives_grad_cam_and_says_so(
    worker: Worker, uploads: list[Upload]
) -> None:
    found = worker.explain(NEW, uploads[0], Wish(method="scorecam", deadline_ms=1e-6))
    assert found.mapped.method == "gradcam"
    assert "scorecam would take" in found.replaced


def planned(costs: Costs, method: str, left: float, **params: Any) -> Plan:
    return costs.planned(NEW, Plan(method, params), left, channels=600)


def test_an_explanation_is_expected_to_take_its_forward_passes() -> None:
    costs = Costs()
    costs.note_pass(NEW, 10)
    assert planned(costs, "scorecam", 6001).method == "scorecam"
    instead = planned(costs, "scorecam", 2000)
    assert instead.method == "scorecam_fast"
    assert 0 < instead.params["budget_ms"] <= 2000
    assert "6.0 s" in instead.replaced
    assert planned(costs, "scorecam", 150).method == "gradcam"


def test_what_was_measured_counts_more_than_what_is_expected() -> None:
    costs = Costs()
    costs.note_pass(NEW, 10)
    costs.note(NEW, "scorecam", 1200, forwards=600)  # many at once: 2 ms each
    assert planned(costs, "scorecam", 1300).method == "scorecam"
    assert planned(costs, "occlusion", 400).method == "occlusion"  # 170 x 2 ms
    assert planned(costs, "scorecam", 100).method == "scorecam_fast"


def test_fast_score_cam_keeps_its_name_and_settings_and_gets_a_budget() -> None:
    costs = Costs()
    costs.note_pass(NEW, 10)
    plan = planned(costs, "score-cam-fast", 1000, batch_size=4)
    assert (plan.method, plan.params["batch_size"]) == ("score-cam-fast", 4)
    assert plan.params["budget_ms"] < 1000
    assert plan.replaced


def test_quick_methods_are_never_replaced() -> None:
    costs = Costs()
    costs.note_pass(NEW, 10)
    assert planned(costs, "gradcam", 0) == Plan("gradcam")
    assert planned(costs, "featuremaps", 0).method == "featuremaps"


def test_maps_that_show_nothing_keep_their_reason(
    worker: Worker, uploads: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.warm(NEW)
    [model] = worker.shelf.items().values()
    blank = Explanation(
        "gradcam",
        np.array([[0, 1, 2]]),
        np.full((1, 3, 32, 32), np.nan, np.float32),
        {(0, 1): "it is blank"},
        1.0,
        1,
    )
    monkeypatch.setattr(model.engine, "explain", lambda *_: blank)
    found = worker.explain(NEW, uploads[0], Wish(classes=("all",)))
    assert found.mapped.reasons == {1: "it is blank"}


def test_predictions_and_cams_need_no_pytorch_and_no_ray(
    registry: Registry, uploads: list[Upload], tmp_path: Any
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(uploads[0].content)
    code = f"""
import sys
from kdray.spec.service import Service
from kdray_serve.answering.counter import make_worker
from kdray_serve.work import Upload, Wish
service = Service(apiVersion="kdray/v1", kind="Service", name="t", registry={registry.uri!r},
                  models=["brain"])
worker = make_worker(service, may_use_torch=False)
upload = Upload(open({str(image)!r}, "rb").read())
print(worker.predict(("brain", 2), [upload])[0].place)
worker.explain(("brain", 2), upload, Wish(against="brain@2", method="scorecam_fast"))
heavy = "torch", "ray", "pyarrow", "sklearn", "scipy", "matplotlib", "pandas"
print([name for name in heavy if name in sys.modules])
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "[]"
