"""Explanations as a run writes them in its results; the numbers are drawn from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
METHODS = ("gradcam", "scorecam_fast", "featuremaps")
TEACHER, STUDENT = "resnet18", "cnn5 <- resnet18 (kd)"
STUDENTS = ("cnn5 alone", STUDENT, "mobilenet alone", "mobilenet <- resnet18 (kd)")
FOLDER = "steps/explain/explain-0c1d9a77b2e4f503"
IMAGES, MASKED, RUNS = 16, 12, 3
#: Score -> about what a map that says something has, and what a random one has.
SCORES = {
    "deletion_auc": (0.31, 0.52),
    "insertion_auc": (0.71, 0.55),
    "average_drop": (0.22, 0.48),
    "increase": (0.31, 0.12),
    "retention": (0.78, 0.52),
    "label_agreement": (0.81, 0.5),
    "prediction_change": (0.34, 0.29),
    "removal_correlation": (0.44, 0.02),
    "input_similarity": (0.35, 0.1),
    "pointing_hit": (0.58, 0.14),
    "energy_inside": (0.29, 0.09),
    "iou_best": (0.41, 0.17),
    "iou_half": (0.33, 0.1),
}
#: Method -> images that went through the model for a map, and milliseconds of a plain forward.
FORWARDS = {"gradcam": 1.0, "scorecam_fast": 178.0, "featuremaps": 1.0}
PLAIN_MS = {"resnet18": 31.4, "cnn5": 2.6, "mobilenet": 4.9}
ALIKE = ("pearson", "ssim", "iou20")


def explanations(
    classes: tuple[str, ...] = CLASSES,
    methods: tuple[str, ...] = METHODS,
    runs: int = RUNS,
    masks: int = MASKED,
    students: tuple[str, ...] = STUDENTS,
) -> dict[str, Any]:
    """Return what ``results.json`` holds under ``explanations``.

    One teacher, two students each alone and taught; the first map of a transformer's method that
    another model cannot do is a note and no row.
    """
    random = np.random.default_rng(11)
    labels = (TEACHER, *students)
    best = students[min(1, len(students) - 1)]
    rows = [
        _scored(random, method, label, runs, masks)
        for label in labels
        for method in (*methods, "random")
    ]
    agreement = [
        _agreement(random, method, label, classes, runs)
        for label in students
        for method in methods
    ]
    sanity = [_sanity(random, method, label) for label in (TEACHER, best) for method in methods]
    return {
        "figures": [
            {
                "file": "explanations.png",
                "title": "Teacher and student side by side",
                "kind": "side_by_side",
            },
            {
                "file": "classes.png",
                "title": "gradcam of each class, teacher and student",
                "kind": "classes",
            },
            {
                "file": "layers.png",
                "title": "Average feature maps of every layer",
                "kind": "layers",
            },
        ],
        "path": FOLDER,
        "figure": f"{FOLDER}/explanations.png",
        "methods": list(methods),
        "images": 4,
        "models": [f"teacher {TEACHER}", f"student {best}"],
        "subject": {"teacher": TEACHER, "student": "cnn5", "method": "kd"},
        "teacher": f"teacher {TEACHER}",
        "student": f"student {best}",
        "notes": [
            f"rollout of {TEACHER}: the model has no attention blocks.",
            "scorecam_fast of cnn5 alone, 2 of 48 maps: the map is blank: every value is 0.",
        ],
        "scored": {
            "images": IMAGES,
            "split": "test",
            "classes": list(classes),
            "grid": 56,
            "masks": masks,
            "device": "cpu",
            "threads": 1,
        },
        "scores": rows,
        "agreement": agreement,
        "sanity": sanity,
    }


def _scored(
    random: np.random.Generator, method: str, label: str, runs: int, masks: int
) -> dict[str, Any]:
    role = "teacher" if label == TEACHER else "student"
    count = 1 if role == "teacher" else runs
    names = [name for name in SCORES if masks or name not in ("pointing_hit", *_IN_MASK)]
    measures = {
        name: _over_images(
            random,
            SCORES[name][method == "random"] + random.normal(0, 0.03),
            masks if name in ("pointing_hit", *_IN_MASK) else IMAGES,
            count,
        )
        for name in names
    }
    row: dict[str, Any] = {
        "method": method,
        "label": label,
        "role": role,
        "runs": count,
        "measures": measures,
        "degenerate": 2 if (method, label) == ("scorecam_fast", "cnn5 alone") else 0,
        "maps": IMAGES * count,
        "forwards": 0.0,
        "met_ms": None,
        "met_forwards": None,
        "estimate": None,
    }
    if method == "random":
        return row
    plain = PLAIN_MS[label.partition(" ")[0]]
    ratio = 1.1 if FORWARDS[method] == 1 else 0.3 * FORWARDS[method]
    return row | {
        "forwards": FORWARDS[method],
        "met_ms": _over_images(random, plain * ratio, IMAGES - 1, count, spread=0.05 * plain),
        "met_forwards": ratio,
        "estimate": (
            _over_images(random, 0.97, IMAGES, count, spread=0.01)
            if method == "scorecam_fast"
            else None
        ),
    }


_IN_MASK = ("energy_inside", "iou_best", "iou_half")


def _agreement(
    random: np.random.Generator, method: str, label: str, classes: tuple[str, ...], runs: int
) -> dict[str, Any]:
    level = 0.62 if "<-" in label else 0.4

    def alike() -> dict[str, Any]:
        return {
            f"{prefix}{name}": _over_images(random, value, IMAGES, runs)
            for name in ALIKE
            for prefix, value in (
                ("", level + random.normal(0, 0.05)),
                ("chance_", 0.3 + random.normal(0, 0.03)),
            )
        }

    # A map that knows no class is compared once.
    own = {} if method == "featuremaps" else {name: alike() for name in classes}
    return {
        "method": method,
        "label": label,
        "teacher": TEACHER,
        "runs": runs,
        "classes": own,
        "all": alike(),
        "answers": {"top1_agreement": _over_images(random, 0.85, IMAGES, runs)},
    }


def _sanity(random: np.random.Generator, method: str, label: str) -> dict[str, Any]:
    stages = ("head", "head to stage4", "head to stage3", "head to stage2", "head to stage1")
    falling = np.linspace(0.8, 0.15 if method != "featuremaps" else 0.55, len(stages))
    return {
        "method": method,
        "label": label,
        "role": "teacher" if label == TEACHER else "student",
        "images": 8,
        "stages": [
            {
                "layers": name,
                "ssim": float(value + random.normal(0, 0.02)),
                "pearson": float(value + random.normal(0, 0.03)),
                "blank": 0,
            }
            for name, value in zip(stages, falling, strict=True)
        ],
        "chance_ssim": 0.33,
        "verdict": "failed" if method == "featuremaps" else "passed",
        "stability": _over_images(random, 0.93, 8, 1, spread=0.03),
        "max_sensitivity": _over_images(random, 0.21, 8, 1, spread=0.06),
    }


def _over_images(
    random: np.random.Generator, mean: float, images: int, runs: int, spread: float = 0.2
) -> dict[str, Any]:
    half = 1.96 * spread / np.sqrt(images)
    over_runs = sorted(mean + random.normal(0, 0.2 * spread, runs))
    seeds = {
        "mean": mean,
        "std": 0.2 * spread,
        "low": float(over_runs[0] - 0.1 * spread),
        "high": float(over_runs[-1] + 0.1 * spread),
        "n": runs,
        "over": "seeds",
    }
    return {
        "mean": float(mean),
        "std": spread,
        "low": float(mean - half),
        "high": float(mean + half),
        "n": images,
        "over": "images",
        "seeds": seeds if runs > 1 else None,
    }
