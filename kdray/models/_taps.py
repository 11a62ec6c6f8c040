"""Where to look into a network of timm or torchvision, from one forward pass of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdray.net import Tap

#: More tokens than this before the patches: the output is no grid of patches.
MOST_PREFIX = 16
#: What the first block is called in one library or the other; the tap ``texture``.
FIRST_BLOCKS = (
    "layer1.0",
    "stages.0.blocks.0",
    "stages.0.0",
    "blocks.0.0",
    "s1.b1",
    "features.denseblock1",
    "stage1.0",
    "layers.0.blocks.0",
    "stage2.0",
    "trunk_output.block1.block1-0",
    "features.1.0",
    "features.1",
)

Grid = tuple[int, int]


@dataclass(frozen=True)
class Found:
    """What one forward pass tells of a network.

    Args:
        logits: Of one image, ``[1, C]``.
        taps: Name -> tap; empty where no stage gives a single map.
        classifier: Path of the linear layer that takes the mean, or the class token, of the tap
            ``final``; empty where other layers stand between.
    """

    logits: Tensor
    taps: dict[str, Tap]
    classifier: str = ""


def derive(module: nn.Module, channels: int, image_size: int) -> Found:
    """Return the taps of a network of timm or torchvision.

    ``stage1`` ... ``stageN`` are the modules of timm's ``feature_info`` that give maps, shallow to
    deep; without it, the last blocks of each map size. ``final`` is the last map before the
    classifier's pooling (for token networks the normalised tokens). ``cam`` is ``final``, except:
    for token networks the first norm of the last block, since behind that block's attention only
    the class token reaches the logits; where the last map is a single cell (small images), the
    deepest stage with more than one. ``texture`` (the first block) and ``shape`` (``cam``) are the
    early and the late map of DFKD; token networks have neither, their attention serves instead.

    Args:
        module: The network; its mode is kept.
        channels: Image channels ``c``.
        image_size: Height and width of the images, pixels.
    """
    sample = torch.linspace(-1, 1, channels * image_size**2)
    sample = sample.reshape(1, channels, image_size, image_size)
    places = _places(module) or _by_size(_trace(module, sample, ""), module, image_size)
    seen = _trace(module, sample, places[-1].path if places else "")
    stages: list[tuple[Tap, Grid]] = []
    for place in places:
        found = _map(module, place, seen.shapes.get(place.path, ()), image_size)
        if found and found not in stages:
            stages.append(found)
    if not stages:
        return Found(seen.logits, {})
    taps = {f"stage{number}": tap for number, (tap, _) in enumerate(stages, start=1)}
    final = _final(stages, seen)
    cam = _cam(stages, final, seen)
    if cam.layout != "tokens":
        taps |= {"texture": _texture(stages[0][0], seen), "shape": cam}
    return Found(seen.logits, {**taps, "cam": cam, "final": final}, _classifier(final, seen))


@dataclass(frozen=True)
class _Place:
    """A feature map: module path, width ``D``, pixels in one cell's side."""

    path: str
    width: int
    reduction: int


@dataclass
class _Seen:
    """What one forward pass showed.

    Args:
        shapes: Module path -> shape of its output, in the order of their ends.
        tail: Outputs from the last stage on, kept alive so that their storages differ.
        linear: Path of each linear layer with as many outputs as classes -> its input.
        logits: ``[1, C]``.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tail: list[tuple[str, Tensor]] = field(default_factory=list)
    linear: dict[str, Tensor] = field(default_factory=dict)
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


def _by_size(seen: _Seen, module: nn.Module, size: int) -> list[_Place]:
    """Return the last block of each map size, large to small."""
    blocks: dict[int, _Place] = {}
    for path in _blocks(module):
        shape = seen.shapes.get(path, ())
        if len(shape) == 4 and shape[2] > 1:
            side, width = (shape[2], shape[1]) if shape[2] == shape[3] else (shape[1], shape[3])
            blocks[side] = _Place(path, width, max(1, size // side))
    return [blocks[side] for side in sorted(blocks, reverse=True)]


def _blocks(module: nn.Module, path: str = "") -> Iterator[str]:
    """Yield the paths of what runs one after the other: the leaves of nested sequences."""
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        if type(child) is nn.Sequential:
            yield from _blocks(child, place)
        else:
            yield place


def _trace(module: nn.Module, sample: Tensor, last: str) -> _Seen:
    seen = _Seen()

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen.shapes[path] = tuple(output.shape)
                if path == last or seen.tail:
                    seen.tail.append((path, output))
                if isinstance(layer, nn.Linear):
                    seen.linear[path] = inputs[0]

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


def _texture(stage: Tap, seen: _Seen) -> Tap:
    for path in FIRST_BLOCKS:
        if len(seen.shapes.get(path, ())) == 4:
            return Tap(path, stage.layout)
    return stage


def _cam(stages: Sequence[tuple[Tap, Grid]], final: Tap, seen: _Seen) -> Tap:
    tap, grid = stages[-1]
    if grid == (1, 1):
        return next((tap for tap, grid in reversed(stages) if grid != (1, 1)), tap)
    if tap.layout == "tokens":
        norm = f"{tap.path}.norm1"
        same = seen.shapes.get(norm, ())[:2] == seen.shapes[tap.path][:2]
        return Tap(norm, tap.layout, tap.grid, tap.prefix) if same else tap
    return final


def _final(stages: Sequence[tuple[Tap, Grid]], seen: _Seen) -> Tap:
    """Return the last output of the last stage's height and width, by its outermost module."""
    stage, grid = stages[-1]
    if not seen.tail or seen.tail[0][0] != stage.path:
        return stage
    layouts = [(path, output, _layout(output, grid, stage)) for path, output in seen.tail]
    maps = [found for found in layouts if found[2]]
    final, layout = maps[-1][1:]
    if _same(final, seen.tail[0][1]):
        return stage
    paths = [
        path
        for path, output, _ in maps
        if _same(output, final) and not stage.path.startswith(f"{path}.")
    ]
    path = min(paths, key=lambda name: name.count("."))
    return Tap(path, layout, stage.grid, stage.prefix)


def _layout(output: Tensor, grid: Grid, stage: Tap) -> str:
    """Return the layout in which an output has this height and width; empty if in none."""
    if stage.layout == "tokens":
        tokens = stage.prefix + grid[0] * grid[1]
        return "tokens" if output.ndim == 3 and output.shape[1] == tokens else ""
    if output.ndim != 4:
        return ""
    fits = {"NCHW": output.shape[2:] == grid, "NHWC": output.shape[1:3] == grid}
    if fits[stage.layout]:
        return stage.layout
    return next((layout for layout, fit in fits.items() if fit), "")


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two outputs are the same memory; works without memory (meta) as well."""
    storages = (one.untyped_storage()._cdata, other.untyped_storage()._cdata)
    return bool(storages[0] == storages[1] and one.storage_offset() == other.storage_offset())


def _classifier(final: Tap, seen: _Seen) -> str:
    """Return the layer whose input is the mean, or the class token, of the last map."""
    output = dict(seen.tail).get(final.path)
    if output is None or output.is_meta:
        return ""
    taken = [final.as_maps(output).mean((2, 3))]
    if final.layout == "tokens" and final.prefix:
        taken = [output[:, 0]]
    for path, given in seen.linear.items():
        is_head = seen.shapes[path] == seen.logits.shape
        if is_head and any(_equal(given, value) for value in taken):
            return path
    return ""


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    largest = float(other.abs().max())
    return 0 < largest and float((one - other).abs().max()) <= 1e-4 * largest
