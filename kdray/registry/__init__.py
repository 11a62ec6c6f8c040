"""Packages, versions, aliases and model cards: the trained models that are kept."""

from kdray.registry.card import model_card
from kdray.registry.gate import Condition, Verdict, judge, promote_if
from kdray.registry.package import Package, read_package, write_package
from kdray.registry.teacher import teacher_of
from kdray.registry.versions import Registry, content_key, locate

__all__ = [
    "Condition",
    "Package",
    "Registry",
    "Verdict",
    "content_key",
    "judge",
    "locate",
    "model_card",
    "promote_if",
    "read_package",
    "teacher_of",
    "write_package",
]
