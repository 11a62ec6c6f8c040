"""Channel means: the activation map of the last stage, as HDKD's figure 5 draws it.

"HDKD: Hybrid data-efficient knowledge distillation network", figure 5: the output of the last
block in the last convolutional stage, averaged over its channels; 28 x 28 for the teacher, the
student alone and the student taught, all at 224 px. No value is rectified or made absolute.

It is the average feature map (`featuremaps`) at another place: of a hybrid network not the last
map, which transformer blocks make, but the last one that convolutions made. For networks of
convolutions only both draw the last stage (`featuremaps` where the model's `cam` is).

Differs: figure 5 has the authors' own networks only; for others the last convolutional stage is
the last stage with more than one cell before the first attention. Swin, PVT and DeiT have none.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kdray.errors import ModelError
from kdray.explain._layers import layer_maps, stages
from kdray.explain._subject import Subject, numbers
from kdray.maps import Raw
from kdray.net import Net
from kdray.spec.strict import Strict

#: Whether the map of a class differs from that of another.
CLASSWISE = False
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward"
PRESETS = {"channel-mean": {"params": {}, "source": "HDKD, figure 5"}}


class Params(Strict):
    """Settings of the channel-mean activation map."""

    tap: str | None = None
    """Which layer: `cam`, `stage1`, `stage2`, ...; null: the last convolutional stage."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where the last convolutions are active for each image, in one forward pass.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``; the map does not depend on them.

    Raises:
        ModelError: The network has no such tap, or no stage of convolutions.
    """
    if params.tap is None:
        _, mean = last_convolutional(subject, images)
    else:
        _, [mean] = layer_maps(subject, images, (params.tap,))
    wide = mean[:, None].expand(-1, classes.shape[1], -1, -1)
    return Raw(numbers(wide), forwards=len(images))


def last_convolutional(subject: Subject, images: Tensor) -> tuple[str, Tensor]:
    """Return the last convolutional stage with more than one cell, and its mean ``[B, h, w]``.

    Raises:
        ModelError: There is none.
    """
    names, maps = layer_maps(subject, images, convolutional(subject.net))
    found = list(zip(names, maps, strict=True))
    return next((one for one in reversed(found) if one[1][0].numel() > 1), found[-1])


def convolutional(net: Net) -> tuple[str, ...]:
    """Return the stages that hold no attention and lie before the first, shallow to deep.

    Raises:
        ModelError: There is none.
    """
    found = [name for name in stages(net) if net.taps[name].layout != "tokens"]
    if net.attention:
        order = {path: place for place, (path, _) in enumerate(net.module.named_modules())}
        attends = min((one.path for one in net.attention), key=order.__getitem__)
        found = [name for name in found if _is_before(net.taps[name].path, attends, order)]
    if not found:
        problem = "this model has no stage of convolutions alone."
        raise ModelError("channelmeans", problem, "Use featuremaps, or give the setting `tap`.")
    return tuple(found)


def _is_before(stage: str, attends: str, order: Mapping[str, int]) -> bool:
    """Return whether a stage ends before the module that attends, and does not hold it."""
    return order[stage] < order[attends] and not attends.startswith(f"{stage}.")
