"""Recording a teacher, against its bare forward passes; what a record takes, and that it lasts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch

from kdray.bench import _plain, _taught
from kdray.bench._images import drawn
from kdray.bench._plain import Setting
from kdray.bench._room import Room, workers_environment
from kdray.bench._table import Row
from kdray.bench._taught import Lesson
from kdray.bench._timing import Effort, alternate_for, ratios, spread
from kdray.knowledge.names import BATCH
from kdray.knowledge.outline import Outline, asked_of
from kdray.net import Wants

#: Teacher, student and method of each record.
CASES = (
    ("resnet101", "ghostnet_100", "kd"),
    ("resnet101", "ghostnet_100", "dfkd"),
    ("hdkd_teacher", "hdkd", "hdkd"),
)
Case = tuple[str, str, str]


def record(
    setting: Setting, effort: Effort, tell: Callable[[str], None] = lambda text: None
) -> list[Row]:
    """Return what it takes to record teachers.

    Args:
        setting: Sizes; the batches are those of recording, 32 images.
        effort: How long each teacher is measured.
        tell: Told what comes next.
    """
    batches = replace(setting, batch_size=BATCH, batches=1)
    rows: list[Row] = []
    with Room(workers_environment(), setting.threads) as room:
        for case in CASES:
            tell(f"{case[0]} for {case[2]}")
            rows += _rows(case, batches, effort, room)
    return rows


def variants(case: Case, setting: Setting, folder: Path) -> Mapping[str, Callable[[], object]]:
    """Return the recording of a view after the other, passes of as many images, and a repeat."""
    name, learner, method = case
    images = drawn(folder / "images", setting)
    teacher, student = (_plain.model(net, images.classes, setting) for net in (name, learner))
    recorder, _, _ = _taught.recorder_of(folder, Lesson(method), student, teacher, images)
    views = count()

    def record_view() -> None:
        if recorder.record(next(views), 0) != setting.batch_size:
            raise RuntimeError("a view was there already")

    forward = _plain.forward(teacher, Wants(), images.in_memory())
    return {"record": record_view, "forward": forward, "again": lambda: recorder.record(0, 0)}


def column_bytes(case: Case, setting: Setting) -> dict[str, int]:
    """Return the bytes an image and view of each recorded column."""
    name, learner, method = case
    with torch.device("meta"):
        teacher, student = (_plain.model(net, 4, setting) for net in (name, learner))
    outline = Outline.of(teacher, _plain.CHANNELS, setting.image_size)
    asked = asked_of(Lesson(method).build(), student, outline)
    return {f"{column.name}, {column.dtype}": column.image_bytes for column in asked.columns}


def _rows(case: Case, setting: Setting, effort: Effort, room: Room) -> list[Row]:
    label = f"{case[0]} for {case[2]}"
    with tempfile.TemporaryDirectory(prefix="kdray-bench-") as folder:
        built = room.build(variants, case, setting, Path(folder))
        times = alternate_for({name: built[name] for name in ("record", "forward")}, effort)
        shown: int = room.result("again")
    sizes: dict[str, int] = room.call(column_bytes, case, replace(setting, device="meta"))
    share = spread(ratios(times, ["record"], ["forward"]))
    speeds = {
        name: spread([setting.batch_size / seconds for seconds in times[name]])
        for name in ("record", "forward")
    }
    what = f"{label}: recording / bare forward passes of the same images"
    second = f"{label}: images that the teacher is shown in a second recording"
    return [
        Row(what, share, parts=speeds, parts_unit="images/s"),
        Row(second, spread([shown]), "images", bar=0),
        *(Row(f"{label}: {name}", spread([size]), "B/image") for name, size in sizes.items()),
    ]
