"""FastAPI with PyTorch as it comes: eager, one thread, which is faster here than two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kdray.registry import read_package
from kdray_serve.baselines._common import (
    Classifier,
    Network,
    fastapi_server,
    options,
    serve_here,
)


def main() -> None:
    """Serve the package until it is stopped."""
    given = options()
    assert given.package is not None
    torch.set_num_threads(1)
    classifier = Classifier(given.package, _network(given.package))
    serve_here(fastapi_server(classifier, given), given.port)


def _network(package: Path) -> Network:
    module = read_package(package).build().module

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
            return logits

    return network


if __name__ == "__main__":
    main()
