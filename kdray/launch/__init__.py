"""Where a job runs: this machine, a Ray cluster, Kubernetes."""
