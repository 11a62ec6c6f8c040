"""Whether one model's explanations depend on what it has learnt, and bear noise, in a worker."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdray import measure
from kdray.explain import Explanation, explain_with
from kdray.plan.explained import CHECKED
from kdray.run.cached import open_dataset
from kdray.run.explained.images import drawn
from kdray.run.explained.opening import Opened, opened
from kdray.run.explained.scoring import FAILURES, Work, numbers_of, reason_of
from kdray.spec.strict import Part
from kdray.store import Store

#: A method whose map takes more forward passes is not checked, one that takes many on few images.
MAX_FORWARDS, MANY, FEW = 1000, 100, 3


def check(work: Work) -> None:
    """Check one model's maps with every method, on up to ``CHECKED`` of the scored images.

    The result holds for each method ``images``, ``stages``, ``chance_ssim``, ``verdict``, and one
    number an image of ``stability`` and ``max_sensitivity``; or ``failed``, the reason why there
    is none.
    """
    store = Store(work.uri)
    if work.threads:
        torch.set_num_threads(work.threads)
    dataset = open_dataset(work.uri, work.dataset)
    indices = drawn(dataset, min(work.images, CHECKED))
    images, labels = dataset.images(indices), dataset.labels[indices]
    model = opened(store.fetch(work.package), work.device)
    methods = [_tried(model, part, images, labels) for part in work.methods]
    with store.publish(work.target, {"methods": methods}):
        pass


def _tried(
    model: Opened, part: Part, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, Any]:
    try:
        return _checked(model, part, images, labels)
    except FAILURES as error:
        return {"failed": reason_of(error)}


def _checked(
    model: Opened, part: Part, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, Any]:
    forwards = _made(model, part, images[:1], labels[:1]).forwards
    if forwards > MAX_FORWARDS:
        return {"failed": f"a map takes {forwards} forward passes, which every stage repeats."}
    few = slice(FEW if forwards > MANY else CHECKED)
    images, labels = images[few], labels[few]

    def maps_of(seen: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _made(model, part, seen, labels).maps[:, 0]

    seen, classes = model.standard(images), model.classes(labels)
    drawn_anew = measure.randomisation(model.subject, part, seen, classes)
    steady = measure.stability(maps_of, images)
    return {
        "images": len(images),
        "stages": [asdict(stage) for stage in drawn_anew.stages],
        "chance_ssim": drawn_anew.chance_ssim,
        "verdict": _VERDICTS[drawn_anew.passed],
        **{name: numbers_of(values) for name, values in steady.items()},
    }


#: What a check says; None: there were too few maps to say anything.
_VERDICTS = {True: "passed", False: "failed", None: None}


def _made(
    model: Opened, part: Part, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Explanation:
    seen, classes = model.standard(images), model.classes(labels)
    return explain_with(part.name, model.subject, seen, classes, part.params)
