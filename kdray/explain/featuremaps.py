"""Average feature map: the mean over a layer's channels, whatever the class.

"A Knowledge Distillation-Based Approach to Enhance Transparency of Classifier Models"
(arXiv:2502.15959): A(i, j) = (1 / N) sum_k F_k(i, j) over the N channels of a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdray.explain._maps import finished
from kdray.net import Net, Wants, look
from kdray.spec.strict import Strict


class Params(Strict):
    """Settings of the average feature map."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""


def explain(params: Params, net: Net, images: Tensor, target: Tensor) -> Tensor:
    """Return where the layer is active for each image, in one forward pass.

    Args:
        params: The settings.
        net: The classifier in eval mode; unchanged on return.
        images: ``[B, c, H, W]``, standardised.
        target: ``[B]``, class indices; the map does not depend on them.

    Returns:
        float32 ``[B, H, W]`` in [0, 1].

    Raises:
        ExplainError: A map is blank or not finite.
        ModelError: The network has no such tap.
    """
    with torch.no_grad():
        maps = look(net, images, Wants((params.tap,))).maps[params.tap].mean(dim=1)
    return finished(maps, (images.shape[2], images.shape[3]), "featuremaps")
