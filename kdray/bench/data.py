"""Reading and augmenting a batch, against the step that it feeds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from kdray.bench import _taught
from kdray.bench._images import drawn
from kdray.bench._plain import Setting, model
from kdray.bench._room import Room, workers_environment
from kdray.bench._table import Row
from kdray.bench._taught import Lesson
from kdray.bench._timing import Effort, Times, alternate_for, ratios, spread

BAR = 0.10
STUDENT = "mobilenetv3_small"


def data(setting: Setting, effort: Effort) -> tuple[list[Row], dict[str, float]]:
    """Return what share of a small student's step its batch takes to be read and augmented.

    Besides, what the model of scaling takes of it: images a second that one CPU reads.

    The images lie in a data set as kdray prepares it, and are augmented as a job does by default.

    Args:
        setting: Sizes.
        effort: How long it is measured.
    """
    with (
        tempfile.TemporaryDirectory(prefix="kdray-bench-") as folder,
        Room(workers_environment(), setting.threads) as room,
    ):
        times = alternate_for(room.build(variants, setting, Path(folder)), effort, warm_up=3)
    speeds = {name: spread(_speeds(times[name], setting)) for name in ("augmented", "plain")}
    rows = [
        _share("reading and augmenting a batch", "augmented", times, BAR),
        _share("reading a batch, no augmentation", "plain", times),
        *(Row(f"images a second, {name}", speeds[name], "images/s") for name in speeds),
    ]
    return rows, {"read_images_s": speeds["plain"].median / setting.threads}


def variants(setting: Setting, folder: Path) -> Mapping[str, Callable[[], object]]:
    """Return a batch with views, one without, and kdray's step of the student alone."""
    images = drawn(folder / "images", setting)
    dataset, places = images.pool.dataset, images.pool.places
    draws = np.random.default_rng(0)

    def plain() -> object:
        chosen = np.sort(draws.choice(places, setting.batch_size, replace=False))
        return images.batches.views.plain(dataset.images(chosen))

    student = model(STUDENT, images.classes, setting)
    objective = _taught.taught(Lesson("none"), student, None, images)
    step = _taught.step(student, objective, cycle(images.in_memory()).__next__)
    return {"augmented": images.next_batch(), "plain": plain, "step": step}


def _share(what: str, name: str, times: Times, bar: float | None = None) -> Row:
    parts = {name: spread(times[name]), "step": spread(times["step"])}
    share = spread(ratios(times, [name], ["step"]))
    return Row(f"{what} / step of {STUDENT}", share, bar=bar, parts=parts)


def _speeds(seconds: Sequence[float], setting: Setting) -> list[float]:
    return [setting.batch_size / each for each in seconds]
