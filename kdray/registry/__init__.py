"""Packages, versions, aliases and model cards: the trained models that are kept."""

from kdray.registry.card import model_card
from kdray.registry.package import Package, read_package, write_package
from kdray.registry.teacher import teacher_of
from kdray.registry.versions import Registry, locate

__all__ = [
    "Package",
    "Registry",
    "locate",
    "model_card",
    "read_package",
    "teacher_of",
    "write_package",
]
