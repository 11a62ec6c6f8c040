"""FastAPI with ONNX Runtime: decode, resize, run, JSON; no checks, keys, batches or versions."""

from __future__ import annotations

from kdray_serve.baselines._common import (
    Classifier,
    fastapi_server,
    onnx_network,
    options,
    serve_here,
)


def main() -> None:
    """Serve the package until it is stopped."""
    given = options()
    assert given.package is not None
    classifier = Classifier(given.package, onnx_network(given.package))
    serve_here(fastapi_server(classifier, given), given.port)


if __name__ == "__main__":
    main()
