"""Ray Serve with ONNX Runtime, as its documentation would have it: one replica, no batches."""

from __future__ import annotations

from kdray_serve.baselines._common import options
from kdray_serve.baselines._ray import serve_on_ray


def main() -> None:
    """Serve the package until a signal."""
    from kdray_serve.baselines._ray_apps import Plain

    given = options()
    serve_on_ray(Plain.bind(given.package), given)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
