"""Layer-CAM: each place weighted by its own positive gradient (Jiang et al., 2021).

IEEE TIP 30, doi:10.1109/TIP.2021.3089943, eq. 6 to 8: L = ReLU(sum_k ReLU(dy_c / dA_kij) A_kij),
y_c the logit of the class. One forward pass serves all classes.

Differs: the paper sharpens the maps of early layers by a tanh before it adds several layers up
(eq. 9); a single layer is given as it is, as in pytorch-grad-cam.
"""

from __future__ import annotations

from torch import Tensor

from kdray.explain._gradients import weighed
from kdray.explain._subject import Subject
from kdray.maps import Raw
from kdray.maps.gradients import layercam
from kdray.spec.strict import Strict

#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward, 1 backward of the head a class"
PRESETS = {"layer-cam": {"params": {}, "source": "doi:10.1109/TIP.2021.3089943"}}


class Params(Strict):
    """Settings of Layer-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where each image speaks for its classes, in about one forward pass.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.

    Raises:
        ModelError: The network has no such tap.
    """
    return weighed(subject, params.tap, images, classes, layercam)
