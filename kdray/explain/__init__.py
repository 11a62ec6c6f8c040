"""Explanations: one method a file, ``explain(params, subject, images, classes) -> Raw``.

Every part takes any number of classes for each image at once; ``explain_with`` scales its maps,
times it, and says which maps show nothing.
"""

from kdray.explain._layers import layer_maps
from kdray.explain._making import explain_with
from kdray.explain._subject import Subject
from kdray.maps import Explanation, Raw

__all__ = ["Explanation", "Raw", "Subject", "explain_with", "layer_maps"]
