"""What an alias demands of a version before it moves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kdray.measure import scores
from kdray.registry import Registry
from kdray.registry.duel import duel, shared
from kdray.registry.gate import Verdict, judge, promote_if
from kdray.spec.promote import Require

Make = Callable[..., Path]
Add = Callable[..., int]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


@pytest.fixture
def add(registry: Registry, make_package: Make) -> Add:
    """Return a function that registers a package with the given metrics and answers."""
    made: list[int] = []

    def register(answers: dict[str, Any] | None = None, **metrics: Any) -> int:
        folder = make_package(len(made))
        made.append(1)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        if answers is not None:
            serve(folder, answers)
        return registry.add("brain", folder, key=str(len(made)))

    return register


def serve(folder: Path, answers: dict[str, Any], confidence: Any = None) -> None:
    """Write the files of serving: real answers, and a network that no test here runs."""
    save_file(answers, folder / "validation.safetensors")
    save_file({"none": np.zeros(1, np.float32)}, folder / "serving.safetensors")
    (folder / "model.onnx").write_bytes(b"onnx")
    files = {
        "onnx": "model.onnx",
        "arrays": "serving.safetensors",
        "validation": "validation.safetensors",
    }
    facts = {key: described(folder / name) for key, name in files.items()}
    serving = {"format": 1, "tap": "cam", "head": None, "confidence": confidence, **facts}
    (folder / "serving.json").write_text(json.dumps(serving))
    manifest = json.loads((folder / "model.json").read_text())
    manifest["serving"] = described(folder / "serving.json")
    del manifest["serving"]["bytes"]
    (folder / "model.json").write_text(json.dumps(manifest))


def described(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    return {"file": file.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def answers(right: float, images: range = range(120), seed: int = 0) -> dict[str, Any]:
    """Return answers to images of three classes of which a share is right."""
    numbers = np.array(images)
    labels = numbers % 3
    wrong = np.random.default_rng(seed).random(len(numbers)) >= right
    logits = np.eye(3, dtype=np.float32)[(labels + wrong) % 3]
    hashes = [hashlib.sha256(b"%d" % number).digest() for number in images]
    return {
        "logits": logits,
        "labels": labels.astype(np.int64),
        "images": np.array([list(digest) for digest in hashes], dtype=np.uint8),
    }


def asked(registry: Registry, version: int, **require: Any) -> Verdict:
    return judge(registry, "brain", version, Require(**require))


GOOD = {
    "validation": {"macro_f1": 0.83},
    "summary": {"test": {"macro_f1": {"mean": 0.2}}},
    "cost": {"latency_ms": 12.0, "threads": 2},
    "explanations": {
        "agreement": [
            {"method": "scorecam", "teacher": "big", "all": {"pearson": {"mean": None}}},
            {"method": "gradcam", "teacher": "big", "all": {"pearson": {"mean": 0.41}}},
        ]
    },
}


@pytest.mark.parametrize(
    ("field", "met", "missed", "measured", "on"),
    [
        ("min_macro_f1", 0.83, 0.84, 0.83, "validation split"),
        ("max_latency_ms", 12.0, 11.9, 12.0, "one image, threads: 2"),
        ("min_agreement", 0.4, 0.42, 0.41, "maps of gradcam, with big"),
    ],
)
def test_a_limit_is_met_or_missed(
    registry: Registry, add: Add, field: str, met: float, missed: float, measured: float, on: str
) -> None:
    version = add(**GOOD)
    assert asked(registry, version, **{field: met}).passed
    verdict = asked(registry, version, **{field: missed})
    assert not verdict.passed
    assert [c.measured for c in verdict.conditions] == [measured]
    assert verdict.why_not().startswith(f"{field} is {measured:g}, required at ")
    assert on in verdict.why_not()


@pytest.mark.parametrize(
    "require", [{"min_macro_f1": 0.1}, {"max_latency_ms": 99.0}, {"min_agreement": -1.0}]
)
def test_what_is_not_known_is_not_met(
    registry: Registry, add: Add, require: dict[str, Any]
) -> None:
    verdict = asked(registry, add(), **require)
    assert not verdict.passed
    assert "is not known" in verdict.why_not()


def test_the_test_split_counts_only_where_no_validation_is_kept(
    registry: Registry, add: Add
) -> None:
    version = add(summary={"test": {"macro_f1": {"mean": 0.9}}})
    (condition,) = asked(registry, version, min_macro_f1=0.5).conditions
    assert (condition.measured, condition.passed) == (0.9, True)
    assert condition.on.startswith("test split")


def test_macro_f1_comes_from_the_answers_where_no_score_is_kept(
    registry: Registry, add: Add
) -> None:
    given = answers(0.7)
    (condition,) = asked(registry, add(given), min_macro_f1=0.5).conditions
    expected = scores(given["logits"], given["labels"], ["a", "b", "c"])["macro_f1"]
    assert condition.measured == pytest.approx(expected, abs=1e-6)
    assert condition.on == "validation split"


def test_all_conditions_are_judged(registry: Registry, add: Add) -> None:
    verdict = asked(registry, add(**GOOD), min_macro_f1=0.99, max_latency_ms=1, min_agreement=0.1)
    assert [(c.name, c.passed) for c in verdict.conditions] == [
        ("min_macro_f1", False),
        ("max_latency_ms", False),
        ("min_agreement", True),
    ]


def test_a_clearly_better_version_beats_the_champion(registry: Registry, add: Add) -> None:
    worse, better = answers(0.6), answers(0.95, seed=1)
    registry.promote("brain", add(worse))
    (condition,) = asked(registry, add(better), beats_champion=True).conditions
    assert condition.passed
    found = [
        scores(given["logits"], given["labels"], ["a", "b", "c"])["macro_f1"]
        for given in (better, worse)
    ]
    assert f"that of version 1: {found[0] - found[1]:+.3f} [" in condition.on
    assert "on 120 validation images of both" in condition.on


@pytest.mark.parametrize("right", [0.6, 0.64, 0.3])
def test_an_equal_or_worse_version_does_not(registry: Registry, add: Add, right: float) -> None:
    registry.promote("brain", add(answers(0.6)))
    assert not asked(registry, add(answers(right, seed=1)), beats_champion=True).passed


def test_only_images_that_validated_both_count(registry: Registry, add: Add) -> None:
    registry.promote("brain", add(answers(0.5, range(90))))
    other = add(answers(1.0, range(50, 200), seed=1))
    (condition,) = asked(registry, other, beats_champion=True).conditions
    assert "on 40 validation images" in condition.on


def test_too_few_shared_images_are_said(registry: Registry, add: Add) -> None:
    registry.promote("brain", add(answers(0.5, range(90))))
    verdict = asked(registry, add(answers(1.0, range(61, 160))), beats_champion=True)
    assert "only 29 validation images are in both versions" in verdict.why_not()


def test_a_champion_without_answers_is_said(registry: Registry, add: Add) -> None:
    registry.promote("brain", add(**GOOD))
    verdict = asked(registry, add(answers(0.9)), beats_champion=True)
    assert "version 1 keeps no answers to its validation images" in verdict.why_not()


def test_other_labels_of_the_same_images_are_said() -> None:
    ours, theirs = answers(1.0), answers(0.5)
    theirs["labels"] = (theirs["labels"] + 1) % 3
    assert duel(ours, theirs, 0.95) == "images that are in both versions have different labels"


def test_shared_images_are_found_in_any_order_and_counted_once() -> None:
    hashes = np.arange(5, dtype=np.uint8)[:, None].repeat(32, axis=1)
    first, second = shared(hashes[[3, 1, 3, 0]], hashes[[0, 2, 3, 3]])
    assert (first.tolist(), second.tolist()) == ([0, 3], [2, 0])


@pytest.mark.parametrize(("champion", "said"), [(0, "no champion yet"), (1, "is the champion")])
def test_without_another_champion_there_is_nothing_to_beat(
    registry: Registry, add: Add, champion: int, said: str
) -> None:
    version = add()
    if champion:
        registry.promote("brain", champion)
    (condition,) = asked(registry, version, beats_champion=True).conditions
    assert condition.passed
    assert said in condition.on


def test_a_version_that_passes_is_promoted_with_what_it_reached(
    registry: Registry, add: Add
) -> None:
    version = add(**GOOD)
    require = Require(min_macro_f1=0.8)
    assert promote_if(registry, "brain", version, require, reason="nightly").passed
    assert registry.resolve("brain") == version
    (move,) = registry.history("brain")
    assert move["reason"] == "nightly"
    assert [(c["name"], c["measured"]) for c in move["conditions"]] == [("min_macro_f1", 0.83)]


def test_a_version_that_fails_moves_nothing(registry: Registry, add: Add) -> None:
    registry.promote("brain", add(**GOOD))
    verdict = promote_if(registry, "brain", add(**GOOD), Require(min_macro_f1=0.9))
    assert (verdict.passed, verdict.before) == (False, 1)
    assert registry.resolve("brain") == 1
    assert len(registry.history("brain")) == 1


def test_a_champion_that_changes_meanwhile_was_not_beaten(
    registry: Registry, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote("brain", add(answers(0.5)))
    better, rival = add(answers(0.95, seed=1)), add(answers(0.9, seed=2))
    read = Registry.describe

    def then_lose(self: Registry, name: str, version: int) -> dict[str, Any]:
        Registry(registry.uri).promote("brain", rival)
        return read(self, name, version)

    monkeypatch.setattr(Registry, "describe", then_lose)
    verdict = promote_if(registry, "brain", better, Require(beats_champion=True))
    assert not verdict.passed
    assert "someone else moved" in verdict.why_not()
    assert registry.aliases("brain") == {"champion": rival}
