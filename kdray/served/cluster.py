"""What Ray Serve runs the service with, on this machine and in clusters alike."""

from __future__ import annotations

#: Environment variable with a file, pipe or terminal to which replicas write their log lines.
LOG_PIPE = "KDRAY_SERVE_LOG"
#: Environment variable with the folder in which the processes of a machine count together.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Environment variable with the port on which a machine shows its counts without a key; where it
#: is not set there is none.
METRICS_PORT = "KDRAY_SERVE_METRICS_PORT"
#: What makes Ray Serve quicker. Not its direct ingress: it opens ports of the replicas to the
#: network, and nobody asks them without HAProxy before them.
SETTINGS = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    # Ray lets what it computes give way to everything else; answers should not wait for backups.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A busy small machine is slow, not broken: Ray's own patience is 30 s.
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_agent_register_timeout_ms": "180000",
}
