"""Grad-CAM: maps weighted by the mean gradient of the class score (Selvaraju et al., 2017).

arXiv:1610.02391, eq. 1 and 2: L = ReLU(sum_k a_k A_k), a_k = mean over the grid of dy_c / dA_k,
y_c the logit of the class. Computed by pytorch-grad-cam.

Differs: the backward pass ends at the tap, which changes no value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdray.explain._maps import finished
from kdray.explain._watch import as_maps, gradients_from, untouched
from kdray.net import Net
from kdray.spec.strict import Strict


class Params(Strict):
    """Settings of Grad-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""


def explain(params: Params, net: Net, images: Tensor, target: Tensor) -> Tensor:
    """Return where each image speaks for its target class, in about one forward pass.

    Only one call at a time may look into the same network.

    Args:
        params: The settings.
        net: The classifier in eval mode; unchanged on return.
        images: ``[B, c, H, W]``, standardised.
        target: ``[B]``, class indices.

    Returns:
        float32 ``[B, H, W]`` in [0, 1].

    Raises:
        ExplainError: A map is blank or not finite.
        ModelError: The network has no such tap.
    """
    from pytorch_grad_cam import GradCAM  # slow to import
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(index) for index in target.tolist()]
    with untouched(net.module), gradients_from(net, params.tap):
        tap = net.taps[params.tap]
        cam = GradCAM(net.module, [net.layer(params.tap)], reshape_transform=as_maps(tap))
        # Not as a context manager: leaving the library's own hides any IndexError.
        try:
            maps = cam(images.clone(), targets)
        finally:
            cam.activations_and_grads.release()
    found = torch.from_numpy(maps).to(images.device)
    return finished(found, (images.shape[2], images.shape[3]), "gradcam")
