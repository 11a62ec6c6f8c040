"""A job as Kubernetes and KubeRay know it."""
