"""Where timm's transformers keep their attention, and how to read it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from kdray.models._attention import (
    class_token,
    map_queries,
    patch_offsets,
    reduced_keys,
    windows,
)
from kdray.models._matrices import (
    cell_matrix,
    offset_matrix,
    square_matrix,
    token_matrix,
    window_matrix,
)
from kdray.net import Attention, Tap

#: timm's multi-head attention, as vision transformers use it.
PLAIN = "timm.layers.attention.Attention"


def attention_of(module: nn.Module, taps: Mapping[str, Tap]) -> tuple[Attention, ...]:
    """Return the attention of the blocks of a timm network, shallow to deep.

    Known are: vision transformers (ViT, DeiT and others with ``blocks.i.attn``), Visformer, Swin
    and AutoFormerV2, MobileViT, PVT version 2, CoAtNet and the two branches of CrossViT (not its
    fusion, which mixes the branches' class tokens). For another network: none.

    Args:
        module: The network.
        taps: Its taps; the grid of a vision transformer's patches is that of ``final``.
    """
    if _name(module) == "timm.models.crossvit.CrossVit":
        return tuple(_crossvit(module))
    final = taps.get("final", Tap(""))
    return tuple(
        place for path, block in module.named_modules() for place in _places(path, block, final)
    )


def _places(path: str, block: Any, final: Tap) -> Iterator[Attention]:
    name = _name(block)
    if name == "timm.models.mobilevit.MobileVitBlock":
        for index, layer in enumerate(block.transformer):
            inner = f"{path}.transformer.{index}.attn.qkv"
            matrix = offset_matrix(layer.attn, block.patch_size)
            maps = patch_offsets(layer.attn, block.patch_size)
            yield Attention(inner, maps, matrix=matrix)
    elif name == "timm.models.swin_transformer.SwinTransformerBlock":
        yield Attention(f"{path}.attn.qkv", windows(block), matrix=window_matrix(block))
    elif name == PLAIN and final.layout == "tokens" and _is_block(path):
        maps, matrix = class_token(block, final), token_matrix(block)
        yield Attention(f"{path}.qkv", maps, matrix=matrix, prefix=final.prefix)
    elif name in _BY_CLASS:
        yield _BY_CLASS[name](path, block)


def _is_block(path: str) -> bool:
    """Return whether this is the attention of ``blocks.i``, not of a pooling or a decoder."""
    parts = path.split(".")
    return len(parts) == 3 and (parts[0], parts[2]) == ("blocks", "attn")


def _crossvit(module: Any) -> Iterator[Attention]:
    for index, scale in enumerate(module.blocks):
        for branch, layers in enumerate(scale.blocks):
            tokens = branch_tap(module, branch, "")
            for depth, layer in enumerate(layers):
                path = f"blocks.{index}.blocks.{branch}.{depth}.attn.qkv"
                yield Attention(path, class_token(layer.attn, tokens))


def branch_tap(module: Any, branch: int, path: str) -> Tap:
    """Return a tap on the tokens of one branch of CrossViT, behind its class token."""
    side = round(module.patch_embed[branch].num_patches ** 0.5)
    return Tap(path, "tokens", (side, side), 1)


def crossvit_taps(module: Any) -> dict[str, Tap]:
    """Return the taps of CrossViT: the patches of the branch with more blocks.

    Fusion changes the class tokens only, so the patches after a branch's blocks are those of the
    stage. ``cam`` is the last of them: the other branch's class token attends to these patches.
    """
    branch = max(range(len(module.patch_embed)), key=lambda one: len(module.blocks[0].blocks[one]))
    stages = {
        f"stage{index + 1}": branch_tap(
            module, branch, f"blocks.{index}.blocks.{branch}.{len(scale.blocks[branch]) - 1}"
        )
        for index, scale in enumerate(module.blocks)
    }
    last = stages[f"stage{len(stages)}"]
    return {**stages, "cam": last, "final": branch_tap(module, branch, f"norm.{branch}")}


def _name(part: nn.Module) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _conv(path: str, block: Any) -> Attention:
    return Attention(f"{path}.qkv", map_queries(block), matrix=cell_matrix(block))


def _two_dimensional(path: str, block: Any) -> Attention:
    maps, matrix = map_queries(block.attn), cell_matrix(block.attn)
    return Attention(f"{path}.attn.qkv", maps, matrix=matrix)


def _reduced(path: str, block: Any) -> Attention:
    return Attention(path, reduced_keys(), "input", square_matrix(block))


_BY_CLASS: dict[str, Callable[[str, Any], Attention]] = {
    "timm.models.visformer.Attention": _conv,
    "timm.models.maxxvit.TransformerBlock2d": _two_dimensional,
    "timm.models.pvt_v2.Attention": _reduced,
}
