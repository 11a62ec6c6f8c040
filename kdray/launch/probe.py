"""Starts Ray, runs one task and says how long it took: ``python -m kdray.launch.probe``."""

from __future__ import annotations

import os
import time


def main() -> None:
    """Start Ray on this machine, run one task, print the seconds both took, stop Ray."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # seconds: only in this process, never in the command that calls it

    begun = time.perf_counter()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    started_s = time.perf_counter() - begun
    try:
        task = ray.remote(lambda: os.getpid())
        elsewhere = ray.get(task.remote(), timeout=60) != os.getpid()
        task_s = time.perf_counter() - begun - started_s
    finally:
        ray.shutdown()
    if not elsewhere:
        raise SystemExit("the task ran in the driver's own process")
    print(f"starts in {started_s:.1f} s, first task after {task_s:.1f} s")


if __name__ == "__main__":
    main()
