"""The same maps by kdray and by pytorch-grad-cam, an image after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray import measure
from kdray.bench._case import Case
from kdray.explain import Subject, explain_with
from kdray.infer import Predictor
from kdray.models import lay_out, memory_format
from kdray.net import Net
from kdray.registry import read_package

Maps = NDArray[np.float32]
Work = Callable[[], object]
#: Methods of kdray -> classes of pytorch-grad-cam.
PEERS = {
    "gradcam": "GradCAM",
    "gradcampp": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "scorecam": "ScoreCAM",
}
FORWARD, KEPT = "forward", "kept"
#: The peer's first class once more, with the weights in kdray's order in memory.
LAID_OUT = "class 0, laid out"


@dataclass(frozen=True)
class Answer:
    """The maps of an image.

    Args:
        maps: ``[K, H, W]``; NaN where a map is blank.
        estimate: ``[K]``: the estimated correlation with the exact map; None where it is exact.
        ms: What the method itself says that it took; NaN where it does not.
    """

    maps: Maps
    estimate: Maps | None = None
    ms: float = float("nan")

    def estimated(self, place: int) -> float:
        """Return the estimated correlation of one map; NaN where there is none."""
        return float("nan") if self.estimate is None else float(self.estimate[place])


@dataclass
class Turns:
    """Explains an image after the other, endlessly, and keeps the last answer to each.

    Args:
        work: Explains the image of a number.
        count: How many images there are.
    """

    work: Callable[[int], Answer]
    count: int
    kept: dict[int, Answer] = field(default_factory=dict)
    _next: int = 0

    def __call__(self) -> None:
        """Explain the next image."""
        place, self._next = self._next, (self._next + 1) % self.count
        self.kept[place] = self.work(place)


def turn(method: str, count: int) -> str:
    """Return the name of kdray's maps of so many classes at once."""
    return f"{method} {count}"


def kdray_variants(case: Case, methods: Sequence[str]) -> dict[str, Work]:
    """Return kdray's maps of the first class and of all by each method, and the plain forward.

    Names: those of ``turn``, ``forward``; ``kept`` returns the answers.
    """
    net = _network(case, laid_out=True)
    subject, images = Subject(net), case.standard()
    turns = {
        turn(method, count): Turns(_ours(subject, case, images, method, count), len(case))
        for method in methods
        for count in sorted({1, case.classes.shape[1]})
    }
    return {**turns, FORWARD: _forward(net, images), KEPT: lambda: _kept(turns)}


def peer_variants(case: Case, method: str) -> dict[str, Work]:
    """Return pytorch-grad-cam's maps of each class, all as it is by default; and the forward.

    Names: ``class 0``, ``class 1``, ... in the order of ``case.classes``, ``forward``; ``class 0,
    laid out`` where kdray has an order in memory that is not the default; ``kept``.
    """
    net = _network(case, laid_out=False)
    images = case.standard()
    cam = _peer(net, method)
    turns = {
        f"class {place}": Turns(_theirs(cam, case, images, place), len(case))
        for place in range(case.classes.shape[1])
    }
    if memory_format(net.module, "cpu") != torch.contiguous_format:
        other = _peer(_network(case, laid_out=True), method)
        turns[LAID_OUT] = Turns(_theirs(other, case, images, 0), len(case))
    return {**turns, FORWARD: _forward(net, images), KEPT: lambda: _kept(turns)}


@dataclass(frozen=True)
class Scored:
    """What the faithfulness scores of some maps took.

    Args:
        forwards: Images sent through the network.
        maps: How many maps.
        names: The scores.
    """

    forwards: int
    maps: int
    names: tuple[str, ...]


def scores_variants(case: Case, method: str) -> dict[str, Work]:
    """Return all faithfulness scores of one map, an image after the other; and the forward.

    Names: ``scores``, ``forward``; ``scored`` returns what they took so far.
    """
    predictor = Predictor(case.folder)
    maps = predictor.explain(case.images, method, classes=case.classes[:, :1]).maps[:, 0]
    shown = np.flatnonzero(np.isfinite(maps).all(axis=(1, 2)))
    done: list[Scored] = []

    def score() -> None:
        place = [shown[len(done) % len(shown)]]
        images, targets = case.images[place], case.classes[place, 0]
        found = measure.map_scores(predictor.answers, images, maps[place], targets)
        done.append(Scored(found.forwards, 1, tuple(found.values)))

    def scored() -> Scored:
        names = done[0].names if done else ()
        return Scored(sum(one.forwards for one in done), len(done), names)

    net = _network(case, laid_out=True)
    return {"scores": score, FORWARD: _forward(net, case.standard()), "scored": scored}


def _network(case: Case, laid_out: bool) -> Net:
    net = read_package(case.folder).build()
    if laid_out:
        lay_out(net.module, "cpu")
    return net


def _forward(net: Net, images: Sequence[Tensor]) -> Work:
    """Return what passes an image after the other through a network, and nothing else."""
    place = -1

    def forward() -> None:
        nonlocal place
        place = (place + 1) % len(images)
        with torch.inference_mode():
            net.module(images[place])

    return forward


def _ours(
    subject: Subject, case: Case, images: Sequence[Tensor], method: str, count: int
) -> Callable[[int], Answer]:
    classes = torch.from_numpy(case.classes[:, :count])

    def explain(place: int) -> Answer:
        found = explain_with(method, subject, images[place], classes[place : place + 1])
        estimate = None if found.estimate is None else found.estimate[0]
        return Answer(found.maps[0], estimate, found.ms)

    return explain


def _peer(net: Net, method: str) -> Callable[..., Maps]:
    import pytorch_grad_cam  # slow to import

    tap = net.taps["cam"]
    reshape = None if tap.layout == "NCHW" else tap.as_maps
    cam: Callable[..., Maps] = getattr(pytorch_grad_cam, PEERS[method])(
        model=net.module, target_layers=[net.layer("cam")], reshape_transform=reshape
    )
    return cam


def _theirs(
    cam: Callable[..., Maps], case: Case, images: Sequence[Tensor], place: int
) -> Callable[[int], Answer]:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [[ClassifierOutputTarget(int(index))] for index in case.classes[:, place]]

    def explain(image: int) -> Answer:
        return Answer(cam(images[image], targets[image]))

    return explain


def _kept(turns: Mapping[str, Turns]) -> dict[str, dict[int, Answer]]:
    return {name: dict(turn.kept) for name, turn in turns.items()}
