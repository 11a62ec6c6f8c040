"""A network that looks at one image through masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdray.maps.scaling import between_corners


class Seen(nn.Module):
    """Masks ``[n, h, w]`` and one image ``[1, c, H, W]`` to logits ``[n, C]``.

    Masks are enlarged (bilinear, aligned corners) and multiplied as a part of the network, so that
    a runtime does it between its own layers: between two libraries with threads of their own each
    batch costs more than the work itself.

    Args:
        network: The classifier.
        mask_size: ``(h, w)``.
        image_size: ``(H, W)``.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self, network: nn.Module, mask_size: tuple[int, int], image_size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.network = network
        like = next(network.parameters(), torch.empty(0))
        rows, columns = (
            torch.tensor(between_corners(small, large), device=like.device)
            for small, large in zip(mask_size, image_size, strict=True)
        )
        self.register_buffer("rows", rows.contiguous())
        self.register_buffer("columns", columns.T.contiguous())

    def forward(self, masks: Tensor, image: Tensor) -> Tensor:
        """Return the logits ``[n, C]`` of the image seen through each mask."""
        large = torch.matmul(torch.matmul(self.rows, masks), self.columns)
        logits: Tensor = self.network(image * large[:, None])
        return logits
