"""Subnets of the once-for-all MobileNetV3 space: OFA-595 and EEEA-Net-C2."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models._taps import derive
from kdray.net import Net
from kdray.spec.strict import Strict

#: Each stage: output channels, stride of its first block, ReLU, SE, blocks as (kernel, expansion).
OFA_595 = (
    (32, 2, True, False, ((3, 3), (5, 4), (3, 3))),
    (48, 2, True, True, ((5, 4), (5, 4), (3, 6), (5, 3))),
    (96, 2, False, False, ((7, 6), (5, 6), (3, 3), (5, 4))),
    (136, 1, False, True, ((3, 6), (5, 6), (7, 6), (3, 4))),
    (192, 2, False, True, ((3, 6), (3, 6), (5, 6), (3, 3))),
)
EEEA_NET_C2 = (
    (24, 2, True, False, ((3, 3), (5, 4), (3, 3))),
    (40, 2, True, True, ((7, 4), (3, 3), (7, 3))),
    (80, 2, False, False, ((5, 6), (7, 6), (5, 3), (3, 3))),
    (112, 1, False, True, ((7, 6), (5, 4), (3, 3), (3, 3))),
    (160, 2, False, True, ((5, 6), (3, 6), (5, 6), (7, 3))),
)
#: Subnet -> stem, channels of the last map, of the layer behind the pooling, dropout, stages.
SUBNETS = {
    "ofa_595": (24, 1152, 1536, 0.2, OFA_595),
    "eeea_net_c2": (16, 960, 1280, 0.0, EEEA_NET_C2),
}
PRESETS = {
    "ofa_595": {
        "params": {"subnet": "ofa_595"},
        "role": "both",
        "source": "OFA flops@595M (Cai et al., 2020); written here on timm's MobileNetV3",
        "papers": ["XKD"],
        "sizes": "32 px and more; found at 236",
    },
    "eeea_net_c2": {
        "params": {"subnet": "eeea_net_c2"},
        "role": "teacher",
        "source": "EEEA-Net-C2 (Termritthikun et al., 2021); written here on timm's MobileNetV3",
        "papers": ["XKD"],
        "sizes": "32 px and more; found at 192",
    },
}


class Params(Strict):
    """Which subnet."""

    subnet: Literal["ofa_595", "eeea_net_c2"] = "ofa_595"
    """`ofa_595` (595 million multiply-adds at 236 px) or `eeea_net_c2` (early-exit search)."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout before the classifier; null: the subnet's own (0.2 and 0)."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return a specialised subnet: 18 to 20 inverted residuals, hard swish, SE.

    The layers are those of the published ``net.config`` files; weights in the order of the
    published checkpoints fit one to one.

    Args:
        params: Which subnet.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels.
        pretrained: ImageNet weights are not in timm; must be False.

    Raises:
        ModelError: ImageNet weights are asked for.
    """
    if pretrained:
        problem = "timm and torchvision have no ImageNet weights of it."
        raise ModelError(f"ofa/{params.subnet}", problem, "Write weights: none, or a path.")
    module = _create(params, channels, classes)
    found = derive(module, channels, image_size)
    return Net(module, found.taps)


def adapt(module: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file of the once-for-all authors under the network's own names.

    Their class names its layers otherwise, and lists the same tensors in the same order.
    """
    own = list(module.state_dict())
    if given.keys() & set(own) or len(given) != len(own):
        return given
    return dict(zip(own, given.values(), strict=True))


def _create(params: Params, channels: int, classes: int) -> Any:
    from functools import partial

    from timm.layers import get_act_layer
    from timm.models._efficientnet_blocks import SqueezeExcite
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.mobilenetv3 import MobileNetV3

    stem, last, hidden, dropout, stages = SUBNETS[params.subnet]
    squeeze = partial(
        SqueezeExcite,
        gate_layer=get_act_layer("hard_sigmoid"),
        force_act_layer=torch.nn.ReLU,
        rd_round_fn=round_channels,
    )
    return MobileNetV3(
        decode_arch_def(_rows(stem, last, stages)),
        num_classes=classes,
        in_chans=channels,
        stem_size=stem,
        num_features=hidden,
        head_bias=False,
        act_layer=get_act_layer("hard_swish"),
        se_layer=squeeze,
        drop_rate=dropout if params.dropout is None else params.dropout,
    )


def _rows(stem: int, last: int, stages: Any) -> list[list[str]]:
    """Return the stages in timm's notation of blocks."""
    rows = [[f"ds_r1_k3_s1_e1_c{stem}_nre"]]
    for width, stride, relu, squeeze, blocks in stages:
        end = f"_c{width}{'_se0.25' if squeeze else ''}{'_nre' if relu else ''}"
        rows.append(
            [
                f"ir_r1_k{kernel}_s{1 if index else stride}_e{expansion}{end}"
                for index, (kernel, expansion) in enumerate(blocks)
            ]
        )
    return [*rows, [f"cn_r1_k1_s1_c{last}"]]
