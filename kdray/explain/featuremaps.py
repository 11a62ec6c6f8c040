"""Average feature map: the mean over a layer's channels, whatever the class.

"A Knowledge Distillation-Based Approach to Enhance Transparency of Classifier Models"
(arXiv:2502.15959): A(i, j) = (1 / N) sum_k F_k(i, j) over the N channels of a layer, as they are:
negative values pull the mean down. The paper draws all layers of its student in a row; one call of
this part draws one of them, ``kdray.explain.layer_maps`` all of them from one forward pass.
"""

from __future__ import annotations

from torch import Tensor

from kdray.explain._layers import layer_maps
from kdray.explain._subject import Subject, numbers
from kdray.maps import Raw
from kdray.spec.strict import Strict

#: Whether the map of a class differs from that of another.
CLASSWISE = False
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward"
PRESETS = {
    "average-feature-map": {"params": {}, "source": "arXiv:2502.15959"},
    "feature-maps": {"params": {}, "source": "arXiv:2502.15959"},
}


class Params(Strict):
    """Settings of the average feature map."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where the layer is active for each image, in one forward pass.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``; the map does not depend on them.

    Raises:
        ModelError: The network has no such tap.
    """
    _, [mean] = layer_maps(subject, images, (params.tap,))
    wide = mean[:, None].expand(-1, classes.shape[1], -1, -1)
    return Raw(numbers(wide), forwards=len(images))
