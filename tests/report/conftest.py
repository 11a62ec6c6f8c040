"""Results as a run writes them; the numbers are drawn from a seed and mean nothing."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdray.report import write_report
from kdray.store import Store
from tests.report.explained import explanations

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
SUPPORT = {"test": (300, 306, 405, 300), "test_clean": (297, 197, 20, 293)}
COSTS = {
    "resnet18": {"parameters": 11178564, "macs": 1.82e9, "latency_ms": 31.4, "file_mb": 44.8},
    "cnn5": {"parameters": 392836, "macs": 6.1e7, "latency_ms": 2.61, "file_mb": 1.58},
    "mobilenet": {"parameters": 1522980, "macs": 5.6e7, "latency_ms": 4.93, "file_mb": 6.21},
}
T_975 = {2: 4.302652729911275}
EPOCHS = 12


@pytest.fixture
def results() -> dict[str, Any]:
    """Two students, each alone and with kd, one teacher, three seeds, a test split that leaks."""
    return make_results()


@pytest.fixture
def store(tmp_path: Path, results: dict[str, Any]) -> Store:
    """A storage that holds the explanation figure of ``results``."""
    store = Store(str(tmp_path / "runs"))
    store.write(results["explanations"]["figure"], _png())
    return store


@pytest.fixture(scope="session")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The results and their report, drawn once: charts take time."""
    made = {**make_results(), "explanations": explanations()}
    store = Store(str(tmp_path_factory.mktemp("report")))
    for figure in made["explanations"]["figures"]:
        store.write(f"{made['explanations']['path']}/{figure['file']}", _png())
    return made, write_report(made, store, "apiVersion: kdray/v1\nkind: Experiment\n")


@pytest.fixture
def explained(results: dict[str, Any]) -> dict[str, Any]:
    """The same results with scored explanations; those of ``results`` are of an older version."""
    results["explanations"] = explanations()
    return results


@pytest.fixture
def bare(results: dict[str, Any]) -> dict[str, Any]:
    """Results without what is drawn."""
    results["searches"] = []
    for model in results["models"]:
        model["cost"] = None
        for run in model["runs"]:
            run["history"] = []
    return results


@pytest.fixture
def change() -> Callable[..., dict[str, Any]]:
    """Make results with another class list, number of seeds, or splits."""
    return make_results


def make_results(
    classes: tuple[str, ...] = CLASSES,
    seeds: int = 3,
    splits: tuple[str, ...] = ("test", "test_clean"),
) -> dict[str, Any]:
    random = np.random.default_rng(7)
    teacher = _model(random, "resnet18", "resnet18", None, None, 0.955, 1, classes, splits)
    models = [teacher]
    for student, alone, taught in (("cnn5", 0.842, 0.887), ("mobilenet", 0.871, 0.880)):
        one = _model(
            random, f"{student} alone", student, None, "none", alone, seeds, classes, splits
        )
        two = _model(
            random,
            f"{student} <- resnet18 (kd)",
            student,
            "resnet18",
            "kd",
            taught,
            seeds,
            classes,
            splits,
        )
        two["params"] = {"alpha": 0.31, "T": 4.5}
        two["against_alone"] = {
            split: {
                score: _difference(two, one, split, score)
                for score in ("accuracy", "macro_f1", "auc")
            }
            for split in splits
        }
        models += [one, two]
    return {
        "job": "brain-mri",
        "select": "macro_f1",
        "confidence": 0.95,
        "version": "0.1.0",
        "code": "3f2c9a1d8e75b604",
        "dataset": {
            "classes": list(classes),
            "counts": {
                "train": dict(zip(classes, (1123, 1138, 1356, 1238), strict=True)),
                "val": dict(zip(classes, (198, 201, 239, 219), strict=True)),
                "test": dict(zip(classes, SUPPORT["test"], strict=True)),
            },
            "image_size": 96,
            "channels": 1,
            "hash": "9b41c7d2e0aa5f13",
            "duplicates": _duplicates(classes),
            "bad": [],
            "source": {"name": "folder", "params": {"path": "brain_tumor"}},
            "key": "5d0e8f4b7c2a9136",
        },
        "splits": list(splits),
        "models": models,
        "searches": [
            _search(random, "cnn5 <- resnet18 (kd)", "cnn5"),
            _search(random, "mobilenet <- resnet18 (kd)", "mobilenet"),
        ],
        "explanations": {
            "figure": "steps/explain/explain-0c1d/explanations.png",
            "methods": ["gradcam", "scorecam", "featuremaps"],
            "images": 4,
            "models": ["teacher resnet18", "student cnn5 <- resnet18 (kd)"],
            "teacher": "teacher resnet18",
            "student": "student cnn5 <- resnet18 (kd)",
            "agreement": {
                "gradcam": {"pearson": 0.61, "chance_pearson": 0.34, "iou20": 0.42, "images": 4},
                "scorecam": {"pearson": None, "chance_pearson": None, "iou20": 0.2, "images": 0},
            },
            "pointing": [
                {
                    "method": "gradcam",
                    "model": "teacher resnet18",
                    "hits": 3,
                    "misses": 1,
                    "energy_inside": 0.287,
                }
            ],
            "notes": ["scorecam of teacher resnet18, image 2: the map is blank"],
        },
        "promoted": {
            "name": "brain-mri",
            "version": 1,
            "alias": "champion",
            "registry": "registry",
            "label": "cnn5 <- resnet18 (kd)",
            "rule": "macro_f1 on validation",
            "score": 0.893,
        },
        "seconds": {
            "prepare": 14.2,
            "pretrain": 312.7,
            "search": 401.0,
            "distil": 655.3,
            "evaluate": 22.8,
        },
    }


def _model(
    random: np.random.Generator,
    label: str,
    model: str,
    teacher: str | None,
    method: str | None,
    skill: float,
    seeds: int,
    classes: tuple[str, ...],
    splits: tuple[str, ...],
) -> dict[str, Any]:
    runs = [_run(random, label, seed, skill, classes, splits) for seed in range(seeds)]
    return {
        "label": label,
        "role": "teacher" if method is None else "student",
        "model": model,
        "teacher": teacher,
        "method": method,
        "params": {},
        "learning_rate": 1e-3,
        "runs": runs,
        "summary": {split: _summary(runs, split) for split in splits},
        "cost": {**COSTS[model], "threads": 1},
        "against_alone": None,
    }


def _run(
    random: np.random.Generator,
    label: str,
    seed: int,
    skill: float,
    classes: tuple[str, ...],
    splits: tuple[str, ...],
) -> dict[str, Any]:
    skill = skill + random.normal(0, 0.007)
    last = EPOCHS - int(random.integers(0, 3))
    history = [_epoch(random, epoch, skill) for epoch in range(1, last + 1)]
    best = max(history, key=lambda entry: entry["validation"]["macro_f1"])
    key = "".join(random.choice(list("0123456789abcdef"), 16))
    return {
        "seed": seed,
        "key": key,
        "path": f"steps/distil/{label.split()[0]}-{key}",
        "best_epoch": best["epoch"],
        "validation": best["validation"],
        "history": history,
        "scores": {
            split: _scores(random, skill - 0.04 * (split == "test_clean"), SUPPORT[split], classes)
            for split in splits
        },
    }


def _epoch(random: np.random.Generator, epoch: int, skill: float) -> dict[str, Any]:
    learned = skill * (1 - math.exp(-epoch / 2.6)) + random.normal(0, 0.012)
    loss = 1.4 * math.exp(-epoch / 4) + 0.12 + random.normal(0, 0.02)
    return {
        "epoch": epoch,
        "train_loss": loss,
        "terms": {"hard": loss * 0.4, "soft": loss * 0.6},
        "validation": {"accuracy": learned, "macro_f1": learned, "auc": 0.98, "loss": 1 - learned},
        "images_per_s": 812.0,
        "seconds": 6.0,
    }


def _scores(
    random: np.random.Generator, skill: float, support: tuple[int, ...], classes: tuple[str, ...]
) -> dict[str, Any]:
    rows = []
    for index, total in enumerate(support):
        shares = np.full(len(support), (1 - skill) / (len(support) - 1))
        shares[index] = skill
        rows.append(random.multinomial(total, shares / shares.sum()).tolist())
    matrix = np.array(rows)
    right, predicted = np.diag(matrix), np.maximum(matrix.sum(axis=0), 1)
    precision, recall = right / predicted, right / matrix.sum(axis=1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return {
        "accuracy": float(right.sum() / matrix.sum()),
        "macro_f1": float(f1.mean()),
        "auc": float(1 - (1 - skill) ** 1.6),
        "ece": float(abs(random.normal(0.05, 0.01))),
        "loss": float(1.2 * (1 - skill) + 0.15),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "auc": 0.97,
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        "confusion": matrix.tolist(),
    }


def _summary(runs: list[dict[str, Any]], split: str) -> dict[str, Any]:
    return {
        score: _interval([run["scores"][split][score] for run in runs])
        for score in ("accuracy", "macro_f1", "auc", "ece", "loss")
    }


def _interval(values: list[float]) -> dict[str, Any]:
    mean, n = sum(values) / len(values), len(values)
    if n == 1:  # as a bootstrap over the images would give it
        return {
            "mean": mean,
            "std": 0.008,
            "low": mean - 0.016,
            "high": min(mean + 0.015, 1.0),
            "n": 807,
            "over": "images",
        }
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = T_975[n - 1] * std / math.sqrt(n)
    return {
        "mean": mean,
        "std": std,
        "low": mean - half,
        "high": mean + half,
        "n": n,
        "over": "seeds",
    }


def _difference(
    ours: dict[str, Any], theirs: dict[str, Any], split: str, score: str
) -> dict[str, Any]:
    pairs = zip(ours["runs"], theirs["runs"], strict=True)
    found = _interval([a["scores"][split][score] - b["scores"][split][score] for a, b in pairs])
    return {**found, "p": 0.0214 if found["low"] > 0 else 0.31}


def _duplicates(classes: tuple[str, ...]) -> dict[str, Any]:
    counts = {"of": 1311, "group": 0, "exact": 217, "near": 504, "any": 504}
    leak = {
        "from": "train",
        "to": "test",
        **counts,
        "per_class": dict(zip(classes, (3, 109, 385, 7), strict=False)),
    }
    none = {
        "from": "train",
        "to": "val",
        "of": 857,
        "group": 0,
        "exact": 0,
        "near": 0,
        "any": 0,
        "per_class": {},
    }
    return {
        "check": "near",
        "threshold": 0.98,
        "repeated": {"exact": 427, "near": 1630},
        "leaks": [none, leak],
        "conflicts": {"groups": 0, "examples": []},
    }


def _search(random: np.random.Generator, label: str, student: str) -> dict[str, Any]:
    trials = [_trial(random, number) for number in range(16)]
    best = max((t for t in trials if t["state"] == "complete"), key=lambda trial: trial["score"])
    return {
        "label": label,
        "student": student,
        "teacher": "resnet18",
        "method": "kd",
        "select": "macro_f1",
        "trials": trials,
        "best": {key: best[key] for key in ("number", "params", "score")},
    }


def _trial(random: np.random.Generator, number: int) -> dict[str, Any]:
    alpha, temperature = float(random.uniform(0.05, 0.95)), float(random.uniform(1, 12))
    rate = float(10 ** random.uniform(-4, -2))
    score = 0.88 - 0.12 * (alpha - 0.35) ** 2 - 0.04 * (math.log10(rate) + 3) ** 2
    score += float(random.normal(0, 0.006))
    pruned = number > 2 and random.uniform() < 0.4
    values = [score * (1 - math.exp(-e / 2)) for e in range(1, 3 if pruned else 7)]
    return {
        "number": number,
        "params": {"alpha": alpha, "T": temperature, "learning_rate": rate},
        "values": values,
        "score": values[-1],
        "state": "pruned" if pruned else "complete",
    }


def _png() -> bytes:
    from PIL import Image

    image = np.zeros((96, 160, 3), np.uint8)
    image[24:72, 20:140] = (40, 90, 160)
    target = io.BytesIO()
    Image.fromarray(image).save(target, format="PNG")
    return target.getvalue()
