"""Explanations, against pytorch-grad-cam and the plain forward pass, on trained networks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdray.bench import _cams
from kdray.bench._cams import FORWARD, Scored
from kdray.bench._case import Case, case, package_of
from kdray.bench._explaining import Efforts, Measure, Tell, one
from kdray.bench._gradient_rows import cam_rows
from kdray.bench._plain import Setting
from kdray.bench._room import Room, default_environment
from kdray.bench._score_cam_rows import fast_rows, memory_rows, score_cam_rows
from kdray.bench._table import Row
from kdray.bench._timing import Effort, alternate_for, ratios, spread
from kdray.bench._trained import MODELS, Lessons, trained

#: Measured besides the networks that are trained: the heavy head that has bars of its own.
BESIDES = ("vgg19_fc",)
#: Shows whether it works.
QUICK = ("mobilenetv3_small",)
#: What is worth measuring of random weights: their Score-CAM is easier than any trained one's.
UNTRAINED_KINDS = ("cam", "scores")
#: Images through the model for all faithfulness scores of one map.
SCORES_FORWARDS = 45


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Args:
        models: Names of `kdray models` (random weights), packages, or names in the registry; none:
            ``_trained.MODELS``, trained here, and ``BESIDES``.
        images: Folder of the images that are explained; None: drawn scans.
        kinds: Of ``KINDS``; none: all, and ``UNTRAINED_KINDS`` of random weights.
        count: How many images.
        classes: How many classes at once.
        repeats: Rounds of Score-CAM.
        work: Folder that keeps what is trained here; None: nothing is kept.
        minutes: For each training, at most.
        registry: URI of the registry.
    """

    models: tuple[str, ...] = ()
    images: Path | None = None
    kinds: tuple[str, ...] = ()
    count: int = 32
    classes: int = 4
    repeats: int = 3
    work: Path | None = None
    minutes: float = 15
    registry: str = "registry"


def explain(
    asked: Asked, setting: Setting, effort: Effort, tell: Tell = lambda text: None
) -> list[Row]:
    """Return what explanations cost and how exact they are.

    Args:
        asked: What is measured.
        setting: Image size of networks with random weights and of those trained here; threads.
        effort: How long gradient methods and scores are measured.
        tell: Told what comes next.

    Raises:
        RegistryError: There is no such model.
        DataError: There are no images, or one cannot be read.
    """
    slow = Effort(effort.seconds, asked.repeats, asked.repeats)
    efforts = Efforts(effort, slow, setting.threads)
    with _folder(asked.work) as work:
        packages = _packages(asked, setting.image_size, work, tell)
        rows: list[Row] = []
        for label, folder in packages:
            found = case(label, folder, asked.images, asked.count, asked.classes)
            rows += _rows(found, efforts, asked.kinds, tell)
    return rows


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="kdray-bench-") as folder:
        yield Path(folder)


def _packages(asked: Asked, size: int, work: Path, tell: Tell) -> list[tuple[str, Path]]:
    """Return what to call each model, and its package."""
    lessons = Lessons(image_size=size, minutes=asked.minutes)
    own = [] if asked.models else [trained(name, work, lessons, tell) for name in MODELS]
    named = asked.models or BESIDES
    return own + [package_of(model, asked.registry, size, work) for model in named]


def _rows(case: Case, efforts: Efforts, kinds: Sequence[str], tell: Tell) -> list[Row]:
    wanted = kinds or (KINDS if case.trained else UNTRAINED_KINDS)
    environment = {**default_environment(), "TQDM_DISABLE": "1"}
    with (
        Room(environment, efforts.threads) as ours,
        Room(environment, efforts.threads) as peer,
    ):
        measure = Measure(case, efforts, ours, peer, environment, tell)
        return [row for kind in KINDS if kind in wanted for row in _ROWS[kind](measure)]


def _scores_rows(measure: Measure) -> list[Row]:
    """Return what the faithfulness scores of one map take."""
    measure.say("scores of a map")
    built = measure.ours.build(_cams.scores_variants, measure.case, "gradcam")
    effort = Effort(measure.efforts.quick.seconds / 3, least=3, most=15)
    times = alternate_for({name: built[name] for name in ("scores", FORWARD)}, effort)
    scored: Scored = measure.ours.result("scored")
    what = f"{measure.case.label}: all faithfulness scores of one map"
    forwards = one(scored.forwards / scored.maps)
    note = ", ".join(scored.names)
    parts = {"scores": spread(times["scores"]), FORWARD: spread(times[FORWARD])}
    ratio = spread(ratios(times, ["scores"], [FORWARD]))
    return [
        Row(f"{what}: images through the model", forwards, "images", SCORES_FORWARDS, note=note),
        Row(f"{what} / plain forward", ratio, parts=parts),
    ]


_ROWS: Mapping[str, Callable[[Measure], list[Row]]] = {
    "cam": cam_rows,
    "score-cam": score_cam_rows,
    "fast": fast_rows,
    "memory": memory_rows,
    "scores": _scores_rows,
}
KINDS = tuple(_ROWS)
