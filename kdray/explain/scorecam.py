"""Score-CAM: maps weighted by the class score of the image seen through each (Wang et al., 2020).

arXiv:1910.01279, algorithm 1. Every channel of the layer, enlarged and scaled to [0, 1], masks
the image; the map is ReLU(sum_k w_k A_k). The variant is pytorch-grad-cam's: w is the softmax over
channels of the raw logit of the class (the paper first subtracts the logit of a blank image, which
the softmax cancels).

Differs: the paper's own code weighs by the class probability, without a softmax over channels.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from pydantic import Field
from torch import Tensor

from kdray.explain._maps import finished
from kdray.explain._watch import as_maps, untouched
from kdray.net import Net
from kdray.spec.strict import Strict


class Params(Strict):
    """Settings of Score-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""
    batch_size: int = Field(32, ge=1, le=1024)
    """Masked images in one forward pass; changes speed and memory, not the map."""


def explain(params: Params, net: Net, images: Tensor, target: Tensor) -> Tensor:
    """Return where each image speaks for its target class, in one forward pass per channel.

    Images are explained one by one, since the library holds all masked copies of an image at
    once: D * (c + 2) * H * W floats for a layer of D channels (576 channels at 224 px: 0.6 GB).
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
    from pytorch_grad_cam import ScoreCAM, score_cam  # slow to import
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    score_cam.tqdm = SimpleNamespace(tqdm=iter)  # it draws a progress bar for every image
    layer, tap = net.layer(params.tap), net.taps[params.tap]
    with untouched(net.module), torch.no_grad():
        cam = ScoreCAM(net.module, [layer], reshape_transform=as_maps(tap))
        cam.batch_size = params.batch_size
        watched = cam.activations_and_grads

        def drop(*_: object) -> None:
            del watched.activations[1:]  # those of masked images, which the library would keep

        handle = net.module.register_forward_hook(drop)
        # Not as a context manager: leaving the library's own hides any IndexError.
        try:
            maps = [
                torch.from_numpy(cam(image[None], [ClassifierOutputTarget(index)]))
                for image, index in zip(images, target.tolist(), strict=True)
            ]
        finally:
            handle.remove()
            watched.release()
    found = torch.cat(maps).to(images.device)
    return finished(found, (images.shape[2], images.shape[3]), "scorecam")
