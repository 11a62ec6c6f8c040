"""FastAPI without a model: reads the upload, and decodes and resizes it if asked to."""

from __future__ import annotations

from kdray_serve.baselines._common import fastapi_server, options, serve_here, without_model


def main() -> None:
    """Serve until it is stopped."""
    given = options()
    serve_here(fastapi_server(without_model(given), given), given.port)


if __name__ == "__main__":
    main()
