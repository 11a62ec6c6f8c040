"""What computes a package."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kdray.engine import Engine
from kdray.errors import ModelError, RegistryError
from kdray.registry import Package, Registry
from kdray_serve.answering import engines
from kdray_serve.answering.engines import Engines, gpu_is_visible
from kdray_serve.meter import Silent
from kdray_serve.work import Key

BARE, WHOLE = ("brain", 1, "auto"), ("brain", 2, "auto")


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that lets a GPU be seen, or none."""
    return lambda is_there: monkeypatch.setattr(engines, "gpu_is_visible", lambda: is_there)


def test_without_a_gpu_files_of_serving_mean_onnx_runtime(
    registry: Registry, see: Callable[[bool], None]
) -> None:
    see(False)
    assert Engines(registry.uri).load(WHOLE).engine.runtime == "onnxruntime"
    assert Engines(registry.uri).load(BARE).engine.runtime.startswith("torch")


@pytest.mark.parametrize("fastest", ["onnxruntime", "torch"])
def test_with_a_gpu_the_faster_one_stays(
    registry: Registry,
    see: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
    fastest: str,
) -> None:
    def seconds(engine: Engine, _package: Package) -> float:
        return 1.0 if engine.runtime.startswith(fastest) else 2.0

    see(True)
    monkeypatch.setattr(engines, "_seconds", seconds)
    assert Engines(registry.uri).load(WHOLE).engine.runtime.startswith(fastest)


def test_a_gpu_is_no_reason_where_pytorch_may_not_be_used(
    registry: Registry, see: Callable[[bool], None]
) -> None:
    see(True)
    loaded = Engines(registry.uri, may_use_torch=False).load(WHOLE)
    assert loaded.engine.runtime == "onnxruntime"


def test_the_service_may_choose_the_runtime(registry: Registry) -> None:
    assert Engines(registry.uri, "torch").load(WHOLE).engine.runtime.startswith("torch")
    with pytest.raises(RegistryError, match="Promote it again"):
        Engines(registry.uri, "onnxruntime").load(BARE)


def test_a_package_that_needs_pytorch_is_refused_where_there_is_none(registry: Registry) -> None:
    with pytest.raises(ModelError, match="without --edge"):
        Engines(registry.uri, may_use_torch=False).load(BARE)


def test_both_runtimes_say_the_same(registry: Registry) -> None:
    first, second = (Engines(registry.uri, name).load(WHOLE) for name in ("torch", "onnxruntime"))
    images = engines._noise(first.package, 3)
    ours, theirs = first.engine.look(images), second.engine.look(images)
    assert abs(ours.logits - theirs.logits).max() < 1e-4
    assert abs(ours.features - theirs.features).max() < 1e-4


def test_the_default_explanation_tells_whether_it_needs_pytorch(registry: Registry) -> None:
    loads = [Engines(registry.uri, explanation=(name, {})) for name in ("gradcam", "rollout")]
    assert [one.load(WHOLE).needs_torch for one in loads] == [False, True]


def test_what_was_loaded_is_told(registry: Registry) -> None:
    told: list[tuple[Key, str]] = []

    class Meter(Silent):
        def loaded(self, key: Key, runtime: str, seconds: float) -> None:
            assert seconds > 0
            told.append((key, runtime))

    Engines(registry.uri, meter=Meter(), may_use_torch=False).load(WHOLE)
    assert told == [(("brain", 2), "onnxruntime")]


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_a_hidden_gpu_is_none(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.Path, "exists", lambda _: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpu_is_visible()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert not gpu_is_visible()


def test_whatever_a_runtime_raises_is_said_in_words(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strange(Exception):
        pass

    def fail(*_: object) -> None:
        raise Strange("no such operator")

    loader = Engines(registry.uri)
    monkeypatch.setattr(loader, "_onnx", fail)
    monkeypatch.setattr(loader, "_torch", fail)
    with pytest.raises(ModelError, match=r"brain@2.*Strange: no such operator"):
        loader.load(WHOLE)
