"""Ray Serve without a model: one replica that reads the upload, and decodes it if asked to."""

from __future__ import annotations

from kdray_serve.baselines._common import options
from kdray_serve.baselines._ray import serve_on_ray


def main() -> None:
    """Serve until a signal."""
    from kdray_serve.baselines._ray_apps import Empty

    given = options()
    serve_on_ray(Empty.bind(given), given)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
