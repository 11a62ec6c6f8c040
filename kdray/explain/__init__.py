"""Explanations: one method a file, each ``explain(params, net, images, target) -> maps``."""
