"""What Ray and its workers read from the environment when they start."""

from __future__ import annotations

import os
import secrets

#: Settings that Ray and the C library read when a process starts; the user's own win.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A busy small machine is slow, not broken: Ray's own patience is 30 s.
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "RAY_AIR_NEW_OUTPUT": "0",
    # A thread that outlives a stopped session would start or join another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # glibc gives large buffers back after each step and faults them in again: 1.0-1.6 times the
    # step of a small student. Keeping them costs memory only.
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
    # Ray runs training in a thread; the arenas of threads keep nothing above 64 MiB (measured:
    # HDKD's student 780,000 page faults a step instead of 14,000).
    "MALLOC_ARENA_MAX": "1",
}


def prepare_environment() -> None:
    """Set the settings that the user has not; to be called before Ray is imported.

    A Ray that is started here listens on every address of the machine, so it is closed to all who
    lack a token that only this process and its workers know.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" not in os.environ and "RAY_ADDRESS" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
