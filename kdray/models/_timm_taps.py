"""Where to look into a timm network: taps from its ``feature_info`` and one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdray.net import Tap

#: More tokens than this before the patches: the output is no grid of patches.
MOST_PREFIX = 16

Grid = tuple[int, int]


def derive(module: nn.Module, sample: Tensor) -> tuple[Tensor, dict[str, Tap]]:
    """Return the logits of ``sample`` and the taps of a timm network.

    ``stage1`` ... ``stageN`` are the modules of ``feature_info`` that give maps, shallow to deep.
    ``cam`` is the last map before the classifier's pooling: for convolutions and window attention
    the last output of the last stage's size (after a final norm or 1x1 convolution, if there is
    one); for token networks the first norm of the last block, since behind that block's attention
    only the class token reaches the logits. Where the last map is a single cell (small images),
    ``cam`` is the deepest stage with more than one.

    Args:
        module: The network; its mode is kept.
        sample: One image ``[1, c, H, W]``.
    """
    places = _places(module)
    seen = _trace(module, sample, places[-1].path if places else "")
    stages: list[tuple[Tap, Grid]] = []
    for place in places:
        found = _map(module, place, seen.shapes.get(place.path, ()), int(sample.shape[-1]))
        if found and found not in stages:
            stages.append(found)
    if not stages:
        return seen.logits, {}
    taps = {f"stage{number}": tap for number, (tap, _) in enumerate(stages, start=1)}
    return seen.logits, {**taps, "cam": _cam(module, stages, seen)}


@dataclass(frozen=True)
class _Place:
    """A feature map that timm names: module path, width ``D``, pixels in one cell's side."""

    path: str
    width: int
    reduction: int


@dataclass
class _Seen:
    """What one forward pass showed.

    Args:
        shapes: Module path -> shape of its output.
        tail: Outputs from the last stage on, kept alive so that their addresses differ.
        logits: ``[1, C]``.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tail: list[tuple[str, Tensor]] = field(default_factory=list)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


def _places(module: nn.Module) -> list[_Place]:
    info: Any = getattr(module, "feature_info", None) or ()
    entries = info.info if hasattr(info, "info") else info
    known = dict(module.named_modules())
    return [
        _Place(entry["module"], int(entry["num_chs"]), int(entry["reduction"]))
        for entry in entries
        if entry["module"] in known
    ]


def _trace(module: nn.Module, sample: Tensor, last: str) -> _Seen:
    seen = _Seen()

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen.shapes[path] = tuple(output.shape)
                if path == last or seen.tail:
                    seen.tail.append((path, output))

        return hook

    with ExitStack() as stack, torch.no_grad():
        stack.callback(module.train, module.training)
        for path, part in module.named_modules():
            if path:
                stack.callback(part.register_forward_hook(keep(path)).remove)
        seen.logits = module.eval()(sample)
    return seen


def _map(
    module: nn.Module, place: _Place, shape: tuple[int, ...], size: int
) -> tuple[Tap, Grid] | None:
    if len(shape) == 4:
        if shape[3] == place.width != shape[1]:
            return Tap(place.path, "NHWC"), (shape[1], shape[2])
        return Tap(place.path), (shape[2], shape[3])
    if len(shape) != 3 or hasattr(module, "unroll"):
        return None  # hiera ("unroll") keeps its tokens in another order than rows and columns
    for grid in _grids(module, place, size):
        prefix = shape[1] - grid[0] * grid[1]
        if 0 <= prefix <= MOST_PREFIX:
            return Tap(place.path, "tokens", grid, prefix), grid
    return None


def _grids(module: nn.Module, place: _Place, size: int) -> Sequence[Grid]:
    patches = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    given = [(int(patches[0]), int(patches[1]))] if patches else []
    return [
        *given,
        *((side, side) for side in (size // place.reduction, -(-size // place.reduction))),
    ]


def _cam(module: nn.Module, stages: Sequence[tuple[Tap, Grid]], seen: _Seen) -> Tap:
    tap, grid = stages[-1]
    if grid == (1, 1):
        return next((tap for tap, grid in reversed(stages) if grid != (1, 1)), tap)
    if tap.layout == "tokens":
        norm = f"{tap.path}.norm1"
        same = seen.shapes.get(norm, ())[:2] == seen.shapes[tap.path][:2]
        return Tap(norm, tap.layout, tap.grid, tap.prefix) if same else tap
    return _last_map(tap, grid, seen.tail)


def _last_map(stage: Tap, grid: Grid, tail: Sequence[tuple[str, Tensor]]) -> Tap:
    """Return the last output of the last stage's height and width, by its outermost module."""
    if not tail or tail[0][0] != stage.path:
        return stage
    maps = [(path, output) for path, output in tail if _layout(output, grid, stage.layout)]
    final = maps[-1][1]
    if final.data_ptr() == tail[0][1].data_ptr():
        return stage
    paths = [
        path
        for path, output in maps
        if output.data_ptr() == final.data_ptr() and not stage.path.startswith(f"{path}.")
    ]
    path = min(paths, key=lambda name: name.count("."))
    return Tap(path, _layout(final, grid, stage.layout))


def _layout(output: Tensor, grid: Grid, usual: str) -> str:
    """Return the layout in which an output has this height and width; empty if in none."""
    if output.ndim != 4:
        return ""
    fits = {"NCHW": output.shape[2:] == grid, "NHWC": output.shape[1:3] == grid}
    if fits[usual]:
        return usual
    return next((layout for layout, fit in fits.items() if fit), "")
