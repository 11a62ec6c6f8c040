"""DFS-Ex: where an early layer sees texture and a late one shape, as DFKD does.

"Explainable Dual-Feature Knowledge Distillation" (DFKD), eq. 2-4. A place counts where the largest
channel exceeds mu + kappa sigma, mean and standard deviation of the image's map over places and
channels; G = eta R_early + (1 - eta) R_late. Convolutions show the first block and the last map;
networks of tokens the mean attention of the first and of the last third of their blocks (eq. 3).

Differs: as for the method `dfkd`, whose settings these are: by default a sigmoid takes the place
of the printed threshold (`mask: hard`), and attention, which has one channel, a kappa of its own.
The map is thus what `dfkd` aligns. The paper prints neither kappa nor eta.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from kdray.explain._subject import Subject, numbers
from kdray.maps import Raw
from kdray.net import Look, look
from kdray.saliency import Masking, saliency, saliency_wants, streams
from kdray.spec.strict import Strict

#: Whether the map of a class differs from that of another.
CLASSWISE = False
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward"
PRESETS = {
    "dfs-ex": {"params": {}, "source": "DFKD, eq. 2-4"},
    "dfs-ex-texture": {"params": {"stream": "texture"}, "source": "DFKD, eq. 2"},
    "dfs-ex-shape": {"params": {"stream": "shape"}, "source": "DFKD, eq. 2"},
}


class Params(Strict):
    """What is drawn, and what counts as salient."""

    stream: Literal["texture", "shape", "both"] = "both"
    """`texture` (the early mask), `shape` (the late one) or their weighted sum."""
    kappa: float = Field(3.0, ge=-10, le=100)
    """Standard deviations above the mean from which a place of a feature map counts."""
    kappa_attention: float = Field(0.5, ge=-10, le=100)
    """The same for the attention of transformers, which has one channel."""
    eta: float = Field(0.5, ge=0, le=1)
    """Weight of the early mask (texture) in `both`; the late one (shape) has the rest."""
    mask: Literal["soft", "hard"] = "soft"
    """`hard` is the paper's threshold: a place counts or not."""
    tau: float = Field(1.0, gt=0, le=100)
    """Width of the soft threshold, in standard deviations."""
    grid: int | None = Field(None, ge=1)
    """Side of the grid of the masks; null: a quarter of the image's side."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where each image is salient to the network, in one forward pass.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``; the map does not depend on them.

    Raises:
        ModelError: The network has neither texture and shape nor attention.
    """
    wants = saliency_wants(subject.net, "explainer dfsex: the model")
    with torch.inference_mode():
        seen = look(subject.net, images, wants)
        maps = _drawn(seen, params)
    wide = numbers(maps[:, None].expand(-1, classes.shape[1], -1, -1))
    return Raw(wide, forwards=len(images), reasons=_reasons(wide))


def _drawn(seen: Look, own: Params) -> Tensor:
    grid = None if own.grid is None else (own.grid, own.grid)
    masking = Masking(own.kappa, own.kappa_attention, own.eta, own.tau, own.mask, grid)
    if own.stream == "both":
        return saliency(seen, masking)
    early, late = streams(seen, masking)
    return early if own.stream == "texture" else late


def _reasons(maps: NDArray[np.float32]) -> dict[tuple[int, int], str]:
    """Say of masks of 0 or 1 alone which way they are blank."""
    reasons = {}
    for image, place in np.argwhere(maps.max(axis=(2, 3)) == 0).tolist():
        reasons[image, place] = "the map is blank: no place is above the threshold; lower kappa."
    for image, place in np.argwhere(maps.min(axis=(2, 3)) == 1).tolist():
        reasons[image, place] = (
            "the map is blank: all places are above the threshold; raise kappa."
        )
    return reasons
