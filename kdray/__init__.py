"""Explainable knowledge distillation on Ray: from one job spec to a served, explained student."""

__version__ = "0.1.0"
