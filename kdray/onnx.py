"""Exported networks, computed by ONNX Runtime; without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Inputs and outputs of an exported network.
IMAGES, SHARED, LOGITS, MAPS = "images", "shared", "logits", "maps"
Floats = NDArray[np.float32]


def run_onnx(
    path: Path, threads: int, outputs: Sequence[str] = (LOGITS,)
) -> Callable[..., list[Floats]]:
    """Return an exported network as a function of float32 arrays; threads may call it at once.

    Args:
        path: The file.
        threads: Most threads of one call.
        outputs: What of the network to return, in this order; a call may ask for others by the
            same name.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait by spinning take the processor from everything else on it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    providers = ["CPUExecutionProvider"]
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
    names = [item.name for item in session.get_inputs()]

    def run(*inputs: Floats, outputs: Sequence[str] = tuple(outputs)) -> list[Floats]:
        found: list[Floats] = session.run(list(outputs), dict(zip(names, inputs, strict=True)))
        return found

    return run
