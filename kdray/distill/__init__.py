"""Methods: how a student learns from a teacher, a file a method."""

from kdray.distill._method import DistillationMethod

__all__ = ["DistillationMethod"]
