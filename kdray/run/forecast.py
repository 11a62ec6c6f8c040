"""What the recordings of a plan will take: bytes, time, and what does not fit; nothing is run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from kdray.data import DatasetInfo
from kdray.knowledge.names import PART, missing
from kdray.models import build_model
from kdray.net import Net
from kdray.plan import Plan
from kdray.run.record import is_recorded
from kdray.run.survey import Recording, recordings, weights_of
from kdray.spec.experiment import Model
from kdray.store import Store

#: Images of a pass that is timed, and passes, of which the fastest counts; one goes before them.
TIMED, PASSES = 4, 3


def forecast(plan: Plan, store: Store) -> dict[str, dict[str, Any]]:
    """Return id of a step ``record`` -> what it takes, or took.

    ``views``; ``images`` of a view, ``bytes`` and ``columns`` (name -> bytes), None until the data
    set is prepared; ``image_bytes`` (column -> bytes of a view of an image; of ``logits``: of a
    class as well, before); ``left`` images to look at; ``seconds_an_image`` of one process of
    this machine's CPU; ``seconds`` so; ``live`` (arm -> why).

    Args:
        plan: The job's plan.
        store: The storage.

    Raises:
        ModelError: A student or teacher lacks what a method looks at.
    """
    if not plan.record:
        return {}
    facts = store.result(plan.prepare.path)
    info = DatasetInfo.of(facts) if facts else _unknown(plan)
    models = {model.id: model for model in plan.job.teachers}
    weights = weights_of(plan, store)
    found = {}
    for name, recording in recordings(plan, info, weights).items():
        step = plan.record[name]
        done = store.result(step.path)
        if done is not None and is_recorded(plan, name, store, weights):
            kept = ("views", "images", "bytes", "live", "seconds")
            sizes = {column: item["bytes"] for column, item in done["columns"].items()}
            found[step.id] = {**{key: done[key] for key in kept}, "columns": sizes, "left": 0}
        else:
            pace = _pace(models[name].model_dump_json(), info.channels, info.image_size)
            found[step.id] = _ahead(recording, store, pace, bool(facts))
    return found


def _ahead(recording: Recording, store: Store, pace: float, prepared: bool) -> dict[str, Any]:
    sizes = recording.column_bytes
    one = {column.name: column.image_bytes for column in recording.columns}
    common = {"views": recording.views, "seconds_an_image": round(pace, 6)}
    if not prepared:
        one["logits"] = 4  # a class
        nothing = dict.fromkeys(("images", "bytes", "columns", "left", "seconds"))
        return {**common, **nothing, "image_bytes": one, "live": {}}
    spots = missing(store, recording.key, recording.columns, recording.views, recording.images)
    left = sum(min(PART, recording.images - part * PART) for _, part in spots)
    return {
        **common,
        "images": recording.images,
        "bytes": sum(sizes.values()),
        "columns": sizes,
        "image_bytes": one,
        "left": left,
        "seconds": round(left * pace, 1),
        "live": dict(recording.live),
    }


def _unknown(plan: Plan) -> DatasetInfo:
    """Return what is known of a data set that is not prepared: its form, but one image of it."""
    data = plan.job.data
    none: Mapping[str, Any] = {}
    return DatasetInfo(
        classes=("?", "??"),
        image_size=data.image_size,
        channels=data.channels,
        mean=(0.0,) * data.channels,
        std=(1.0,) * data.channels,
        hash="",
        counts={"train": {"?": 1}},
        duplicates=none,
        bad=(),
        source=none,
    )


@lru_cache(maxsize=64)
def _pace(model: str, channels: int, image_size: int) -> float:
    """Return the seconds an image that a teacher with random weights takes here, on the CPU."""
    part = Model.model_validate_json(model).model
    net = build_model(part.name, part.params, channels=channels, classes=2, image_size=image_size)
    net.module.eval()
    images = torch.zeros(TIMED, channels, image_size, image_size)
    with torch.inference_mode():
        net.module(images[:1])  # the first pass also makes room
        return min(_seconds(net, images) for _ in range(PASSES)) / TIMED


def _seconds(net: Net, images: torch.Tensor) -> float:
    started = time.perf_counter()
    net.module(images)
    return time.perf_counter() - started
