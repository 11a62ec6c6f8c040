"""Starts a small application on Ray Serve and waits."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from kdray.served.cluster import SETTINGS
from kdray_serve.baselines._common import Options


def serve_on_ray(app: object, given: Options, replicas: int = 1) -> None:
    """Run a bound deployment until a signal."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if given.tuned:
        os.environ.update(SETTINGS)
    import ray
    from ray import serve

    ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, replicas),
        include_dashboard=False,
        logging_level="warning",
    )
    quiet = {"log_level": "ERROR", "enable_access_log": False}
    serve.start(http_options={"host": "127.0.0.1", "port": given.port}, logging_config=quiet)
    serve.run(app, logging_config=quiet)
    over = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    over.wait()
    ray.shutdown()
