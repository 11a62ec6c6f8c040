"""Maps of what a network looked at, as arrays and as pictures; without PyTorch.

The mathematics of the methods that need no gradients through the network is here, for PyTorch
(``kdray.explain``) and for NumPy alone (``kdray.edge``) alike.
"""

from kdray.maps.explanation import REMEDY, Explanation
from kdray.maps.levels import shown_levels
from kdray.maps.picture import heat_map, heat_map_png, overlay, png
from kdray.maps.raw import Raw
from kdray.maps.scaling import blank_reasons, scaled, shown

__all__ = [
    "REMEDY",
    "Explanation",
    "Raw",
    "blank_reasons",
    "heat_map",
    "heat_map_png",
    "overlay",
    "png",
    "scaled",
    "shown",
    "shown_levels",
]
