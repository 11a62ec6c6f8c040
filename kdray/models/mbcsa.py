"""HDKD's attention (MBCSA) inside MobileNetV3-L, MobileViT-S or CoAtNet-0: table 11 of HDKD."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from kdray.models import timm, torchvision
from kdray.models._cbam import Cbam
from kdray.net import Net
from kdray.spec.strict import Strict

#: Network -> library, architecture, names of the layers that CBAM replaces, reduction.
NETWORKS = {
    "mobilenet_v3_large": ("torchvision", "mobilenet_v3_large", ("SqueezeExcitation",), 4),
    "mobilevit_s": ("timm", "mobilevit_s", ("attn",), 16),
    "coatnet_0": ("timm", "coatnet_0_rw_224", ("se_early", "se"), 16),
}
PRESETS = {
    "mobilenet_v3_large_mbcsa": {
        "params": {"network": "mobilenet_v3_large"},
        "role": "comparator",
        "source": "HDKD table 11; torchvision mobilenet_v3_large with CBAM instead of SE",
        "papers": ["HDKD"],
    },
    "mobilevit_s_mbcsa": {
        "params": {"network": "mobilevit_s"},
        "role": "comparator",
        "source": "HDKD table 11; timm mobilevit_s with CBAM in its convolution blocks",
        "papers": ["HDKD"],
    },
    "coatnet_0_mbcsa": {
        "params": {"network": "coatnet_0"},
        "role": "comparator",
        "source": "HDKD table 11; timm coatnet_0_rw_224 with CBAM instead of SE",
        "papers": ["HDKD"],
        "sizes": "multiples of 32",
    },
}


class Params(Strict):
    """Which network, and how narrow the channel attention is."""

    network: Literal["mobilenet_v3_large", "mobilevit_s", "coatnet_0"] = "mobilenet_v3_large"
    """The network whose convolution blocks get the attention."""
    reduction: int | None = Field(None, ge=1, le=64)
    """Channels for each hidden channel of the attention; null: 4 in MobileNetV3, else 16."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return the network with CBAM behind the depthwise convolution of its blocks.

    The paper has no code for table 11. CBAM takes the place of squeeze and excitation where a
    block has it, and of nothing in MobileViT; the reductions are those with which the printed
    counts hold (4.2, 5.1 and 26 million parameters).

    Args:
        params: Which network.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels.
        pretrained: Whether to load the network's ImageNet weights; CBAM starts anew.

    Raises:
        ModelError: The images do not fit, or the ImageNet weights cannot be had.
    """
    library, arch, names, reduction = NETWORKS[params.network]
    shape = {"channels": channels, "classes": classes, "image_size": image_size}
    if library == "timm":
        net = timm.build(timm.Params(arch=arch), **shape, pretrained=pretrained)
    else:
        net = torchvision.build(torchvision.Params(arch=arch), **shape, pretrained=pretrained)
    _replace(net.module, names, params.reduction or reduction)
    return net


def adapt(module: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file of the network itself; what of CBAM it lacks is new."""
    places = tuple(f"{path}." for path, part in module.named_modules() if isinstance(part, Cbam))
    own = module.state_dict()
    anew = {name: value for name, value in own.items() if name.startswith(places)}
    kept = {
        name: value
        for name, value in timm.adapt(module, given).items()
        if name in own or not name.startswith(places)
    }
    return anew | kept


def _replace(module: nn.Module, names: tuple[str, ...], reduction: int) -> None:
    """Put CBAM in the place of each layer of such a name or class."""
    for block in list(module.modules()):
        for name, layer in list(block.named_children()):
            if name in names or type(layer).__name__ in names:
                width = _width(block, name)
                if width:
                    block.set_submodule(name, Cbam(width, reduction))


def _width(block: nn.Module, name: str) -> int:
    """Return the channels that a layer gets: those of the batch norm last before it."""
    width = 0
    for other, layer in block.named_children():
        if other == name:
            break
        norms = [part for part in layer.modules() if isinstance(part, nn.BatchNorm2d)]
        width = norms[-1].num_features if norms else width
    return width
